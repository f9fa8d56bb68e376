//! Ecommerce: the two services of the shop and clients that keep their responses open.

use std::net::{Ipv4Addr, SocketAddr};

use factmill_produce::ecommerce::{
    self, Ask, EcommerceSettings, FollowError, Follower, GENERATOR_PORT, Listeners,
    THIRD_PARTY_PORT,
};
use factmill_produce::http::Address;
use factmill_produce::{Progress, Rate, Report};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{loopback, simulate};
use crate::failure::Failure;

/// The services, bound and not running yet.
pub(crate) struct Shop {
    listeners: Listeners,
    settings: EcommerceSettings,
    /// Ends the simulated third party, where there is one.
    simulator: Option<tokio_util::sync::DropGuard>,
    /// Where the generator answers.
    pub(crate) generator: SocketAddr,
    /// Where the third party's service answers.
    pub(crate) third_party: SocketAddr,
}

/// How the services work that a job file and `ask` describe; an `ask` has no count of theirs.
pub(crate) fn settings(topic: &str, cors: &[String], ask: &super::Ask) -> EcommerceSettings {
    let usual = EcommerceSettings::new(topic);
    EcommerceSettings {
        rate: ask.rate.unwrap_or(usual.rate),
        seed: ask.seed.unwrap_or(usual.seed),
        bad_percent: ask.bad_percent,
        cors: cors.to_vec(),
        ..usual
    }
}

impl Shop {
    /// Binds the services to the addresses asked for, else to their usual ports on loopback, or to
    /// free ones where those are taken. Without a `third_party` one is simulated.
    ///
    /// # Errors
    /// When an address that was asked for cannot be had.
    pub(crate) async fn bind(
        mut settings: EcommerceSettings,
        third_party: Option<&str>,
        asked: [Option<SocketAddr>; 2],
    ) -> Result<Self, Failure> {
        let generator = bind(asked[0], GENERATOR_PORT).await?;
        let service = bind(asked[1], THIRD_PARTY_PORT).await?;
        let simulator = match third_party {
            Some(url) => {
                url.clone_into(&mut settings.third_party);
                None
            }
            None => {
                let (listener, address) = loopback().await?;
                settings.third_party = format!("http://{address}/transactions");
                // With the generator's own seed it would sell the same orders, and one of each two be lost.
                let (seed, bad) = (!settings.seed, settings.bad_percent);
                Some(simulate("third party", move |stop| async move {
                    let served = ecommerce::simulated_third_party(listener, seed, bad, &stop);
                    served.await.map_err(std::io::Error::other)
                }))
            }
        };
        let address = |listener: &TcpListener| {
            let address = listener.local_addr();
            address.map_err(|error| Failure::usage(error.to_string()))
        };
        Ok(Self {
            generator: address(&generator)?,
            third_party: address(&service)?,
            listeners: Listeners {
                generator,
                third_party: service,
            },
            settings,
            simulator,
        })
    }

    /// The API that the second service asks, for a person: without its secrets.
    pub(crate) fn asks(&self) -> String {
        Address::shown(&self.settings.third_party)
    }

    /// The seed of what is generated.
    pub(crate) fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// Runs the services until `cancel` is cancelled; `client` are librdkafka's properties.
    ///
    /// # Errors
    /// A broker that cannot be reached or refuses, a listener that failed.
    pub(crate) async fn serve(
        self,
        client: Vec<(String, String)>,
        cancel: &CancellationToken,
        progress: impl FnMut(&Progress),
    ) -> Result<Report, Failure> {
        let Self {
            listeners,
            settings,
            simulator,
            ..
        } = self;
        let served = ecommerce::serve(listeners, settings, client, cancel, progress).await;
        drop(simulator);
        served.map_err(Failure::classified)
    }

    /// Runs the services with a client of each until both have shown what `asks` want, one after the
    /// other, or `cancel`. The clients share each of them: half of its documents, half of its pace.
    ///
    /// # Errors
    /// As [`Shop::serve`], and when a response is refused.
    pub(crate) async fn produce(
        self,
        client: Vec<(String, String)>,
        asks: &[Ask],
        cancel: &CancellationToken,
        progress: impl FnMut(&Progress),
    ) -> Result<Report, Failure> {
        let follower = Follower::new().map_err(Failure::classified)?;
        let urls = [
            format!("http://{}/real_time_response", self.generator),
            format!("http://{}/transactions", self.third_party),
        ];
        let ended = cancel.child_token();
        let serving = self.serve(client, &ended, progress);
        let following = async {
            let open = |at: usize| {
                let asks = asks.iter().map(move |ask| halves(*ask)[at]);
                follow_each(&follower, &urls[at], asks, cancel)
            };
            let followed = tokio::try_join!(open(0), open(1));
            ended.cancel();
            followed
        };
        let (served, followed) = tokio::join!(serving, following);
        let report = served?;
        followed.map_err(Failure::classified)?;
        Ok(report)
    }
}

/// Opens one response after the other.
async fn follow_each(
    follower: &Follower,
    url: &str,
    asks: impl Iterator<Item = Ask>,
    cancel: &CancellationToken,
) -> Result<(), FollowError> {
    for ask in asks {
        follower.follow(url, ask, cancel, |_| {}).await?;
    }
    Ok(())
}

/// What each of the two responses shall show: half of the documents, the generator the odd one, at
/// half of the pace.
fn halves(ask: Ask) -> [Ask; 2] {
    let half = |more: u64| Ask {
        count: ask.count.map(|count| (count + more) / 2),
        rate: ask.rate.map(Rate::halved),
        ..ask
    };
    [half(1), half(0)]
}

/// Binds what was asked for, else the usual port on loopback, or a free one where that is taken.
///
/// # Errors
/// When an address that was asked for cannot be had.
pub(crate) async fn bind(asked: Option<SocketAddr>, usual: u16) -> Result<TcpListener, Failure> {
    if let Some(address) = asked {
        let bound = TcpListener::bind(address).await;
        return bound
            .map_err(|error| Failure::usage(format!("cannot listen on {address}: {error}")));
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(loopback().await?.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_services_share_the_documents() {
        let ask = Ask {
            count: Some(7),
            rate: Some(Rate::PerSecond(10.0)),
            ..Ask::default()
        };
        let [generator, third_party] = halves(ask);
        assert_eq!((generator.count, third_party.count), (Some(4), Some(3)));
        for half in [generator, third_party] {
            assert_eq!(half.rate, Some(Rate::PerSecond(5.0)));
        }
        assert_eq!(halves(Ask::default()), [Ask::default(); 2]);
    }
}
