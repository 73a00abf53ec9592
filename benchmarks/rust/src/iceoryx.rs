//! iceoryx2: two publish-subscribe services, one each way, as in its own benchmark.

use std::hint;
use std::mem::MaybeUninit;
use std::time::{SystemTime, UNIX_EPOCH};

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{LogLevel, Node, NodeBuilder, ServiceName, ZeroCopySend, ipc, set_log_level};
use iceoryx2::sample_mut_uninit::SampleMutUninit;
use iceoryx2::service::port_factory::PortFactory as _;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use crate::{Lines, MESSAGE_NBYTES, Outcome, start_child, time_with_child};

pub const NAME: &str = "iceoryx2";

/// Its fixed-size payload, the fastest it has.
#[derive(Debug, Clone, Copy, ZeroCopySend)]
#[repr(C)]
struct Message {
    number: u64,
    rest: [u8; MESSAGE_NBYTES - 8],
}

type Loan = SampleMutUninit<ipc::Service, MaybeUninit<Message>, ()>;
type Service = PortFactory<ipc::Service, Message, ()>;

struct Services {
    out: Publisher<ipc::Service, Message, ()>,
    out_service: Service,
    back: Subscriber<ipc::Service, Message, ()>,
}

impl Lines for Services {
    type Loan<'l> = Loan;

    fn loan(&self) -> Outcome<Loan> {
        Ok(self.out.loan_uninit()?)
    }

    fn send(&self, loan: Loan, number: u64) -> Outcome<()> {
        loan.write_payload(Message { number, rest: [0; MESSAGE_NBYTES - 8] }).send()?;
        Ok(())
    }

    fn try_receive(&self) -> Outcome<Option<u64>> {
        let sample = self.back.receive()?;
        if sample.is_none() {
            hint::spin_loop();
        }
        Ok(sample.map(|sample| sample.number))
    }
}

pub fn one_way_ns() -> Outcome<f64> {
    let run = format!(
        "treequeues-bench/{}/{}",
        std::process::id(),
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos()
    );
    let services = open(&format!("{run}/there"), &format!("{run}/back"))?;
    let child = start_child(NAME, &[format!("{run}/there"), format!("{run}/back")])?;
    // A publisher sends to those who are subscribed: the first message must not be lost.
    while services.out_service.dynamic_config().number_of_subscribers() == 0 {
        hint::spin_loop();
    }
    time_with_child(&services, child)
}

/// The child's ends, from the names of the services.
pub fn attach(names: &[&str]) -> Outcome<impl Lines + use<>> {
    let [there, back] = names else { return Err("two services are needed".into()) };
    open(back, there)
}

fn open(out: &str, back: &str) -> Outcome<Services> {
    set_log_level(LogLevel::Error);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let back = open_service(&node, back)?.subscriber_builder().create()?;
    let out_service = open_service(&node, out)?;
    let out = out_service.publisher_builder().create()?;
    Ok(Services { out, out_service, back })
}

/// A service with the settings of iceoryx2's benchmark.
fn open_service(node: &Node<ipc::Service>, name: &str) -> Outcome<Service> {
    let builder = node.service_builder(&ServiceName::new(name)?).publish_subscribe::<Message>();
    let builder = builder.max_publishers(1).max_subscribers(1).history_size(0);
    Ok(builder.subscriber_max_buffer_size(1).enable_safe_overflow(true).open_or_create()?)
}
