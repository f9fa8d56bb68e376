//! `cargo xtask pictures`: what one sees of each job, for the README, from real runs.
//!
//! Every job streams on the embedded profile in a copy of the project: screenshots of the terminal that it
//! runs in, of another that asks its tables meanwhile, and of the page of ecommerce.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use factmill_testkit::{Browser, project};

use crate::steps;
use crate::terminal::{self, Terminal};

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
        "select description, count(*) as payments, avg(amount_raw)::numeric(18,2) as mean, avg(amount)::numeric(18,4) as scaled\n\
         from payments.fct_payments group by 1 order by payments desc, 1 limit 10",
    ),
    (
        "stripe",
        "select currency, count(*) as charges, sum(amount_usd)::numeric(18,2) as usd, sum(amount_eur)::numeric(18,2) as eur\n\
         from stripe.fct_charges where is_paid and amount_usd is not null group by 1 order by usd desc",
    ),
    (
        "retail",
        "select language, sentiment_label, count(*) as reviews, avg(sentiment)::numeric(4,2) as sentiment\n\
         from retail.fct_reviews where sentiment_label is not null group by 1, 2 order by 1, 4 desc",
    ),
];

/// How many of each source the page has counted when its picture is taken.
const COUNTED: &str = "25";

/// How long a stream runs beside a question.
const FOR_TERMINALS: &str = "25s";

/// When the question is asked: the first part of the input is through by then.
const SEEN_AFTER: Duration = Duration::from_secs(15);

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
    let binary = match &arguments.binary {
        Some(binary) => fs::canonicalize(binary)?,
        None => built()?,
    };
    let factmill = Factmill {
        binary: &binary,
        project: project.path(),
    };
    let runtime = tokio::runtime::Runtime::new().context("could not start a runtime")?;
    let save = |job: &str, picture: Vec<u8>| -> Result<()> {
        let file = folder.join(format!("{job}.png"));
        fs::write(&file, picture)?;
        println!("{}", file.display());
        Ok(())
    };
    for (job, question) in QUESTIONS {
        save(job, runtime.block_on(factmill.asked(job, question))?)?;
    }
    save("ecommerce", runtime.block_on(factmill.page())?)
}

/// The program, built now; it lies beside the one that runs this.
fn built() -> Result<PathBuf> {
    steps::run(&mut steps::cargo(&[
        "build",
        "--release",
        "--package",
        "factmill",
    ]))?;
    let beside = std::env::current_exe()?.with_file_name("factmill");
    ensure!(beside.is_file(), "{} is not there", beside.display());
    Ok(beside)
}

/// The program in a project's folder.
struct Factmill<'a> {
    binary: &'a Path,
    project: &'a Path,
}

impl Factmill<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command
            .args(arguments)
            .arg("--project-dir")
            .arg(self.project)
            .env_remove("FACTMILL_PROFILE")
            .stdin(Stdio::null());
        command
    }

    /// A stream that runs for a while in one terminal, and in another the question to its tables.
    async fn asked(&self, job: &str, question: &str) -> Result<Vec<u8>> {
        let programs = self.binary.parent().context("a program lies in a folder")?;
        let stream = format!("factmill stream {job} --for {FOR_TERMINALS}");
        let stream = Terminal::start(&stream, self.project, programs)?;
        tokio::time::sleep(SEEN_AFTER).await;
        let question = format!(
            "factmill sql \"\n    {}\"",
            question.replace('\n', "\n    ")
        );
        let answered = Terminal::start(&question, self.project, programs)?.end()?;
        let seen = stream.written();
        stream.end()?;
        let browser = Browser::start().await?;
        terminal::screenshot(&browser, &[seen, answered]).await
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
