//! `serve`: a job's services, until they are stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use factmill_core::error::ExitCode;
use factmill_produce::Rate;
use factmill_produce::retail::{self, RetailEvents, RetailSettings};
use factmill_produce::stripe::{StripeSettings, simulator};
use factmill_project::Job;
use factmill_project::job::Producer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::produce::brokers;
use super::refuse;
use crate::cli::ServeArgs;
use crate::config::{Connections, Needs};
use crate::context::Context;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::producers::{self, Ask, Shop};
use crate::shutdown::Shutdown;
use crate::web::{self, PAGE_PORT, Page};
use crate::workspace::{Unnamed, Workspace};

/// The port of the simulated Stripe, the one that Stripe's own mock server takes.
const STRIPE_PORT: u16 = 12_111;
/// The port of the simulated retail API.
const RETAIL_PORT: u16 = 8_002;

/// Runs it.
///
/// # Errors
/// A job without services, an address that cannot be had, brokers or a warehouse that do not answer.
pub(super) async fn run(arguments: &ServeArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let named: Vec<String> = arguments.job.iter().cloned().collect();
    let (project, chosen) = workspace.choose_jobs(&named, Unnamed::Ask, &arguments.settings)?;
    let job = project.job(&chosen[0])?;
    let shutdown = Shutdown::listen(&workspace.printer)?;
    let stop = shutdown.token();
    match &job.producer {
        Some(Producer::Ecommerce { third_party, cors }) => {
            shop(
                arguments,
                &workspace,
                job,
                third_party.as_deref(),
                cors,
                stop,
            )
            .await?;
        }
        Some(Producer::Stripe { .. }) => {
            let flags = [
                ("--rate", arguments.rate.is_some()),
                ("--bad", arguments.bad.is_some()),
            ];
            refuse(&flags, "has no effect on a simulated Stripe")?;
            refuse_of_shop(arguments, job)?;
            let seed = arguments.seed.unwrap_or_else(StripeSettings::fresh_seed);
            let listener = listen(arguments.listen, STRIPE_PORT).await?;
            let address = listener.local_addr()?;
            workspace.printer.note(format_args!(
                "a simulated Stripe at http://{address}, rates at http://{address}/forex/{{date}}.json, seed {seed}"
            ));
            let settings = simulator::SimulatorSettings::new(seed);
            simulator::serve(listener, settings, stop.clone()).await?;
        }
        Some(Producer::Retail { .. }) => {
            refuse_of_shop(arguments, job)?;
            let seed = arguments.seed.unwrap_or_else(RetailSettings::fresh_seed);
            let listener = listen(arguments.listen, RETAIL_PORT).await?;
            let address = listener.local_addr()?;
            let note = format!("a simulated API at http://{address}/stream, seed {seed}");
            workspace.printer.note(note);
            let events = RetailEvents::new(retail::EventSettings {
                seed,
                spread: retail::Spread::Steps,
                bad_percent: arguments.bad.unwrap_or(0.0),
            });
            let mut settings = retail::SimulatorSettings::new(Arc::new(events));
            settings.rate = arguments.rate.unwrap_or(Rate::PerSecond(1.0));
            retail::serve(listener, settings, stop.clone()).await?;
        }
        _ => {
            let message = format!("job `{}` has no services to run", job.name);
            return Err(Failure::usage(message).into());
        }
    }
    Ok(ExitCode::Done)
}

/// Refuses the flags of services that only ecommerce has.
fn refuse_of_shop(arguments: &ServeArgs, job: &Job) -> Result<(), Failure> {
    let flags = [
        ("--third-party", arguments.third_party.is_some()),
        ("--page", arguments.page.is_some()),
    ];
    let why = format!(
        "is for services of ecommerce that job `{}` does not have",
        job.name
    );
    refuse(&flags, &why)
}

/// The shop's services and its page.
async fn shop(
    arguments: &ServeArgs,
    workspace: &Workspace,
    job: &Job,
    third_party: Option<&str>,
    cors: &[String],
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let asked = Ask {
        rate: arguments.rate,
        seed: arguments.seed,
        bad_percent: arguments.bad.unwrap_or(0.0),
        ..Ask::new()
    };
    let settings = producers::shop_settings(producers::topic(job)?, cors, &asked);
    let kafka = brokers(workspace).await?;
    let servers = workspace.servers(Needs::DATA, "factmill serve").await?;
    let asked = [arguments.listen, arguments.third_party];
    let shop = Shop::bind(settings, third_party, asked).await?;
    let listener = listen(arguments.page, PAGE_PORT).await?;
    let printer = &workspace.printer;
    announce(printer, &shop, &listener)?;
    let page = page(&shop, job, &servers.connections()).await?;
    let served = {
        let page = web::serve(listener, page, stop.clone());
        let services = Box::pin(shop.serve(kafka.pairs().collect(), stop, |_| {}));
        tokio::try_join!(page, async { Ok(services.await?) })
    };
    servers.close().await?;
    served.map(drop)
}

fn announce(printer: &Printer, shop: &Shop, page: &TcpListener) -> std::io::Result<()> {
    printer.note(format_args!("  page         http://{}", page.local_addr()?));
    printer.note(format_args!(
        "  generator    http://{0}/real_time_response, http://{0}/docs",
        shop.generator
    ));
    printer.note(format_args!(
        "  third party  http://{0}/transactions, http://{0}/docs, which asks {1}",
        shop.third_party,
        shop.asks()
    ));
    Ok(())
}

/// What the page of a job shows.
///
/// # Errors
/// When the warehouse cannot be reached.
pub(super) async fn page(
    shop: &Shop,
    job: &Job,
    connections: &Connections,
) -> anyhow::Result<Page> {
    let warehouse = super::warehouse(connections).await?;
    Ok(Page {
        generator: format!("http://{}", shop.generator),
        third_party: format!("http://{}", shop.third_party),
        schema: job.schema.clone(),
        warehouse: Arc::new(move || {
            let warehouse = warehouse.clone();
            Box::pin(async move { Ok(warehouse.client().await.map_err(Failure::classified)?) })
        }),
    })
}

async fn listen(asked: Option<SocketAddr>, usual: u16) -> Result<TcpListener, Failure> {
    let address = asked.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, usual).into());
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::usage(format!("cannot listen on {address}: {error}")))
}
