// Checks a compose file as `docker compose config` does, with the library that it is made of: the
// schema of the compose specification, the variables of an environment file, what services refer to.
//
// go run . COMPOSE_FILE ENV_FILE
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("use: go run . COMPOSE_FILE ENV_FILE")
	}
	options, err := cli.NewProjectOptions(
		[]string{os.Args[1]},
		cli.WithWorkingDirectory(filepath.Dir(os.Args[1])),
		cli.WithEnvFiles(os.Args[2]),
		cli.WithDotEnv,
	)
	if err != nil {
		log.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	complaints := houseRules(project)
	for _, complaint := range complaints {
		log.Print(complaint)
	}
	if len(complaints) > 0 {
		os.Exit(1)
	}
	fmt.Printf("%s: %d services, valid\n", os.Args[1], len(project.Services))
}

// houseRules are what the schema cannot say: ports on loopback, mounted files that are there, no
// password in the file.
func houseRules(project *types.Project) []string {
	var complaints []string
	complain := func(format string, values ...any) {
		complaints = append(complaints, fmt.Sprintf(format, values...))
	}
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				complain("%s: port %s is not bound to loopback", name, port.Published)
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				complain("%s: the mounted %s is missing", name, volume.Source)
			}
		}
		for variable, value := range service.Environment {
			secret := strings.HasSuffix(variable, "PASSWORD") || strings.HasSuffix(variable, "KEY")
			if secret && value != nil && !slices.Contains(fromEnvironment(project), *value) {
				complain("%s: %s does not come from the environment file", name, variable)
			}
		}
	}
	return complaints
}

func fromEnvironment(project *types.Project) []string {
	values := make([]string, 0, len(project.Environment))
	for _, value := range project.Environment {
		values = append(values, value)
	}
	return values
}
