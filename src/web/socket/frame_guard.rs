//! Refuses a WebSocket frame by the length in its header, before its payload is buffered.
//!
//! The decoder behind `actix_ws` looks at the limit only when it holds the whole frame, so a peer that announces a huge
//! one could make the gateway buffer all of it. This stream stands between connection and decoder and walks the headers.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::dev;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_core::Stream;

const MASK: usize = 4;

pub(super) struct FrameGuard {
    payload: dev::Payload,
    max_frame: u64,
    place: Place,
}

/// Where in the stream of frames the next byte belongs.
enum Place {
    /// In a header, of which these bytes are there.
    Header { seen: [u8; 10], len: usize },
    /// In masking key and payload, of which so many bytes are to come.
    Payload { left: u64 },
    /// Behind a frame that is too large: nothing more is read.
    Refused,
}

const AT_HEADER: Place = Place::Header { seen: [0; 10], len: 0 };

impl FrameGuard {
    pub(super) fn new(payload: dev::Payload, max_frame: usize) -> Self {
        Self { payload, max_frame: max_frame as u64, place: AT_HEADER }
    }

    fn admit(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            match &mut self.place {
                Place::Refused => return false,
                Place::Payload { left: 0 } => self.place = AT_HEADER,
                _ if bytes.is_empty() => return true,
                Place::Payload { left } => {
                    let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    bytes = &bytes[here..];
                }
                Place::Header { seen, len } => {
                    seen[*len] = bytes[0];
                    *len += 1;
                    bytes = &bytes[1..];
                    if let Some(length) = payload_length(&seen[..*len]) {
                        // A frame without a mask is refused by the decoder, which then reads no further.
                        let mask = if seen[1] & 0x80 == 0 { 0 } else { MASK as u64 };
                        self.place = match length {
                            length if length > self.max_frame => Place::Refused,
                            length => Place::Payload { left: length + mask },
                        };
                    }
                }
            }
        }
    }
}

/// The payload's length by RFC 6455, section 5.2, once enough of the header is there to know it.
fn payload_length(header: &[u8]) -> Option<u64> {
    let short = header.get(1)? & 0x7f;
    let wide = match short {
        126 => header.get(2..4)?,
        127 => header.get(2..10)?,
        _ => return Some(short.into()),
    };
    Some(wide.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
}

impl Stream for FrameGuard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.place, Place::Refused) {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.payload).poll_next(cx);
        if let Poll::Ready(Some(Ok(bytes))) = &polled
            && !self.admit(bytes)
        {
            return Poll::Ready(Some(Err(PayloadError::Overflow)));
        }
        polled
    }
}
