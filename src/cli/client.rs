//! The client's side of the commands that ask a running server.

use clap::Args;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::cli::exit::{self, Failure};

/// Which server to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct Server {
    /// Where the server serves gRPC.
    #[arg(
        long = "to",
        value_name = "URL",
        default_value = "grpc://127.0.0.1:50051"
    )]
    pub(crate) address: String,
}

impl Server {
    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Channel, Failure> {
        let address = self.address.replacen("grpc://", "http://", 1);
        let endpoint = Endpoint::from_shared(address).map_err(|error| {
            let message = format!(
                "{} is no address ({error}); give one like grpc://127.0.0.1:50051",
                self.address
            );
            Failure::new(exit::USAGE, message)
        })?;
        endpoint.connect().await.map_err(|error| {
            let message = format!(
                "no server answers at {} ({}); start one: impulse serve, or impulse demo",
                self.address,
                root_cause(&error)
            );
            Failure::new(exit::UNAVAILABLE, message)
        })
    }
}

/// What a refused call means to whoever typed the command.
pub(crate) fn refused(status: &Status) -> Failure {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .map(|info| format!(" ({})", info.reason))
        .unwrap_or_default();
    let mut message = format!("{}{reason}", status.message());
    for violation in details
        .bad_request()
        .into_iter()
        .flat_map(|bad| &bad.field_violations)
    {
        message.push_str("\n  ");
        message.push_str(&violation.field);
        message.push_str(": ");
        message.push_str(&violation.description);
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other code says to try later"
    )]
    let code = match status.code() {
        Code::InvalidArgument | Code::OutOfRange => exit::USAGE,
        Code::NotFound => exit::DATA,
        Code::Internal | Code::Unknown | Code::Unimplemented => exit::SOFTWARE,
        _ => exit::UNAVAILABLE,
    };
    Failure::new(code, message)
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
