//! Two things that librdkafka has and its safe wrapper lacks: a topic's id, and headers whose names
//! are not UTF-8 (the wrapper panics on them, and any producer may send them).
#![allow(
    unsafe_code,
    reason = "librdkafka's C interface; each block states what it relies on"
)]

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;

/// The id that the brokers gave the topic when it was created, in base64; `None` where they are too
/// old to have ids.
///
/// Blocks up to `timeout`.
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let name = CString::new(topic)?;
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `client` outlives this call, so its handle is valid throughout; every object made here
    // is freed by its `Owned`, in the reverse order of making, after its last use.
    unsafe {
        let handle = client.native_ptr();
        let queue = Owned::new(sys::rd_kafka_queue_new(handle), sys::rd_kafka_queue_destroy)?;
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        let topics = Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )?;
        let options = Owned::new(
            sys::rd_kafka_AdminOptions_new(
                handle,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            sys::rd_kafka_AdminOptions_destroy,
        )?;
        succeeded(sys::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            millis,
            ptr::null_mut(),
            0,
        ))?;
        sys::rd_kafka_DescribeTopics(handle, topics.0, options.0, queue.0);
        // librdkafka answers after the request's time-out at the latest, with an error
        let event = Owned::new(
            sys::rd_kafka_queue_poll(queue.0, millis.saturating_add(1_000)),
            sys::rd_kafka_event_destroy,
        )?;
        succeeded(sys::rd_kafka_event_error(event.0))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(KafkaError::NoMessageReceived);
        }
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if descriptions.is_null() || count == 0 {
            return Err(KafkaError::NoMessageReceived);
        }
        let description = *descriptions;
        let error = sys::rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            succeeded(sys::rd_kafka_error_code(error))?;
        }
        Ok(id_text(sys::rd_kafka_TopicDescription_topic_id(
            description,
        )))
    }
}

/// # Safety
/// `id` is null or points to an id that lives as long as this call.
unsafe fn id_text(id: *const sys::rd_kafka_Uuid_t) -> Option<String> {
    if id.is_null() {
        return None;
    }
    // SAFETY: not null and alive by the caller's promise; the text belongs to the id.
    unsafe {
        let zero = sys::rd_kafka_Uuid_most_significant_bits(id) == 0
            && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let text = sys::rd_kafka_Uuid_base64str(id);
        (!zero && !text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

fn succeeded(code: sys::rd_kafka_resp_err_t) -> KafkaResult<()> {
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::AdminOp(code.into())),
    }
}

/// A pointer that librdkafka gave us to free.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    /// Takes over a pointer; null means that librdkafka had nothing to give.
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> KafkaResult<Self> {
        if pointer.is_null() {
            Err(KafkaError::NoMessageReceived)
        } else {
            Ok(Self(pointer, free))
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` took a pointer that is not null and ours to free, with the function for it.
        unsafe { (self.1)(self.0) }
    }
}

/// The headers of a message in their order, names as bytes.
pub(super) struct Headers<'a> {
    headers: *mut sys::rd_kafka_headers_t,
    next: usize,
    message: PhantomData<&'a ()>,
}

impl<'a> Headers<'a> {
    /// The headers of `message`, none where it has none.
    pub(super) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive for `'a`; on an error the pointer stays null. The headers
        // belong to the message and are freed with it.
        unsafe {
            sys::rd_kafka_message_headers(message.ptr(), &mut headers);
        }
        Self {
            headers,
            next: 0,
            message: PhantomData,
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.headers.is_null() {
            return None;
        }
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers live for `'a`; where librdkafka says that there is one, the name is a
        // C string and the value null or `length` bytes, both within the headers.
        unsafe {
            let code = sys::rd_kafka_header_get_all(
                self.headers,
                self.next,
                &mut name,
                &mut value,
                &mut length,
            );
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            self.next += 1;
            let value =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), length));
            Some((CStr::from_ptr(name).to_bytes(), value))
        }
    }
}
