//! `cargo xtask pictures`: what one sees of each job, for the README, from real runs.
//!
//! Every job streams on the embedded profile in a copy of the project; a question about its tables
//! becomes a picture of a terminal, the page of ecommerce a screenshot of a real browser.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use factmill_testkit::{Browser, project};

use crate::picture::terminal;
use crate::steps;

/// Where the pictures are.
const FOLDER: &str = "docs/pictures";

/// What is asked of each job's tables.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "banking",
        "select day_type, transaction_type, count(*) as transactions, sum(amount) as volume\n\
         from banking.fct_transactions group by 1, 2 order by volume desc",
    ),
    (
        "payments",
        "select description, count(*) as payments, min(amount_raw) as least, max(amount_raw) as most, avg(amount) as scaled\n\
         from payments.fct_payments group by 1 order by payments desc, 1 limit 10",
    ),
    (
        "stripe",
        "select currency, count(*) as charges, sum(amount_usd) as usd, sum(amount_eur) as eur\n\
         from stripe.fct_charges where is_paid and amount_usd is not null group by 1 order by usd desc",
    ),
    (
        "retail",
        "select language, sentiment_label, count(*) as reviews, avg(sentiment) as sentiment\n\
         from retail.fct_reviews where sentiment_label is not null group by 1, 2 order by 1, 4 desc",
    ),
];

/// How many of each source the page has counted when its picture is taken.
const COUNTED: &str = "25";

/// Long enough for the page to be full, and then the stream ends by itself.
const FOR: &str = "100s";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The program to run; built when not given
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Takes them all anew.
///
/// # Errors
/// When a run fails, or the browser cannot be had.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = steps::workspace().join(FOLDER);
    fs::create_dir_all(&folder)?;
    let project = project::shipped()?;
    let factmill = Factmill {
        binary: arguments.binary.clone(),
        project: project.path(),
    };
    for (job, question) in QUESTIONS {
        let file = folder.join(format!("{job}.svg"));
        fs::write(&file, factmill.asked(job, question)?)?;
        println!("{}", file.display());
    }
    let runtime = tokio::runtime::Runtime::new().context("could not start a runtime")?;
    let picture = runtime.block_on(factmill.page())?;
    let file = folder.join("ecommerce.png");
    fs::write(&file, picture)?;
    println!("{}", file.display());
    Ok(())
}

/// The program in a project's folder.
struct Factmill<'a> {
    binary: Option<PathBuf>,
    project: &'a Path,
}

impl Factmill<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.binary {
            Some(binary) => Command::new(binary),
            None => steps::cargo(&["run", "--release", "--quiet", "--package", "factmill", "--"]),
        };
        command
            .args(arguments)
            .arg("--project-dir")
            .arg(self.project)
            .env_remove("FACTMILL_PROFILE")
            .stdin(Stdio::null());
        command
    }

    /// Standard output of a success, without the last line's end.
    fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        ensure!(
            output.status.success(),
            "factmill {} failed:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Streams a job to its end and asks its tables; the picture of both.
    fn asked(&self, job: &str, question: &str) -> Result<String> {
        let summary = self.output(&["stream", job, "--once"])?;
        let answer = self.output(&["sql", question])?;
        let typed = format!("factmill sql \"{question}\"").replace('\n', "\n    ");
        let stream = format!("$ factmill stream {job} --once");
        let mut lines: Vec<String> = vec![stream];
        lines.extend(summary.lines().map(str::to_owned));
        lines.push(String::new());
        lines.extend(typed.lines().enumerate().map(|(row, line)| match row {
            0 => format!("$ {line}"),
            _ => line.to_owned(),
        }));
        lines.extend(answer.lines().map(str::to_owned));
        Ok(terminal(&format!("{job}, embedded profile"), &lines))
    }

    /// The page beside the stream, once it has something to show.
    async fn page(&self) -> Result<Vec<u8>> {
        const COUNTS: &str = "return Number(document.querySelector(`#${arguments[0]} .count`)\
            .textContent.replaceAll(',', '')) >= Number(arguments[1])";
        let arguments = [
            "stream",
            "ecommerce",
            "--for",
            FOR,
            "--listen",
            "127.0.0.1:0",
        ];
        let mut stream = self.command(&arguments);
        let mut stream = stream
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let (address, said) = named_page(&mut stream)?;
        let browser = Browser::start().await?;
        browser.shape(1200, 1000, "light").await?;
        browser.open(&address).await?;
        for source in ["generator", "third_party"] {
            let live = format!("live-{source}");
            browser.wait_for(COUNTS, &[&live, COUNTED]).await?;
        }
        let picture = browser.screenshot().await?;
        drop(browser);
        // read to its end, so that the stream never waits for a reader
        let said: Vec<String> = said.collect::<Result<_, _>>()?;
        ensure!(stream.wait()?.success(), "{}", said.join("\n"));
        Ok(picture)
    }
}

/// The address that a stream names as that of its page, and what it says after.
fn named_page(
    stream: &mut Child,
) -> Result<(
    String,
    impl Iterator<Item = std::io::Result<String>> + use<>,
)> {
    let said = stream.stderr.take().context("the stream has no output")?;
    let mut lines = BufReader::new(said).lines();
    for line in lines.by_ref() {
        if let Some(address) = line?.trim_start().strip_prefix("page ") {
            return Ok((address.trim().to_owned(), lines));
        }
    }
    anyhow::bail!("the stream ended and named no page: {}", stream.wait()?)
}
