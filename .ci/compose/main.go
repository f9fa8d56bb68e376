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
	all := load("*")
	complaints := houseRules(all)
	// as `docker compose up` starts it: what COMPOSE_PROFILES of the environment file names
	report := []string{"alone " + names(load())}
	profiles := profilesOf(all)
	for _, profile := range profiles {
		report = append(report, profile+" "+names(load(profile)))
	}
	for _, complaint := range complaints {
		log.Print(complaint)
	}
	if len(complaints) > 0 {
		os.Exit(1)
	}
	fmt.Printf("%s: %d services, valid\n", os.Args[1], len(all.Services))
	for _, line := range report {
		fmt.Println("  " + line)
	}
}

// load reads the file with some profiles; without one, with those of the environment file. It fails
// where a service depends on one that none of the profiles starts.
func load(profiles ...string) *types.Project {
	options, err := cli.NewProjectOptions(
		[]string{os.Args[1]},
		cli.WithWorkingDirectory(filepath.Dir(os.Args[1])),
		cli.WithEnvFiles(os.Args[2]),
		cli.WithDotEnv,
		cli.WithDefaultProfiles(profiles...),
	)
	if err != nil {
		log.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range project.ServiceNames() {
		for needed := range project.Services[name].DependsOn {
			if _, starts := project.Services[needed]; !starts {
				log.Fatalf("profiles %v: %s needs %s, which they do not start", profiles, name, needed)
			}
		}
	}
	return project
}

func profilesOf(project *types.Project) []string {
	var profiles []string
	for _, service := range project.Services {
		profiles = append(profiles, service.Profiles...)
	}
	slices.Sort(profiles)
	return slices.Compact(profiles)
}

func names(project *types.Project) string {
	return strings.Join(project.ServiceNames(), " ")
}

// houseRules are what the schema cannot say: ports on loopback and each of one service, a health check
// of each that goes on running, mounted files that are there, no password in the file.
func houseRules(project *types.Project) []string {
	var complaints []string
	complain := func(format string, values ...any) {
		complaints = append(complaints, fmt.Sprintf(format, values...))
	}
	ports := map[string]string{}
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		// our own image brings one; what ends by itself needs none
		ends := strings.HasPrefix(service.Restart, "on-failure")
		if service.HealthCheck == nil && service.Image != "factmill:local" && !ends {
			complain("%s: it has no health check", name)
		}
		for _, port := range service.Ports {
			if other, taken := ports[port.Published]; taken {
				complain("%s: port %s is that of %s", name, port.Published, other)
			}
			ports[port.Published] = name
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
