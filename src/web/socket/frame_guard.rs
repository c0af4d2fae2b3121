//! Refuses WebSocket frames by their headers, before a payload is buffered.
//!
//! The decoder behind `actix_ws` looks at the limit only when it holds the whole frame, so a peer that announces a huge
//! one could make the gateway buffer all of it; and it collects the pieces of a message without counting them, so empty
//! ones would fill the memory. This stream stands between connection and decoder and walks the headers.
//!
//! Whatever is wrong, what came before it is whole and was sent in good faith. So the stream never fails: it ends there,
//! as at a connection that breaks off, the decoder gives what it has, and whoever has read all of it asks [`Ending`] why.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{dev, error::PayloadError, web::Bytes};
use futures_core::Stream;

const MASK: u64 = 4;
/// Pieces of one message. Each costs some tens of bytes, whatever its length.
const MOST_PIECES: u32 = 1024;
/// Of a control frame (RFC 6455, section 5.5).
const LONGEST_CONTROL: u64 = 125;

/// Why the frames ended before the peer said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A frame is longer than allowed, or a message has too many pieces.
    TooLarge,
    /// A header that RFC 6455 does not allow.
    Broken,
}

/// Where the guard leaves word.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Rc<Cell<Option<Fault>>>);

impl Ending {
    /// Nothing is wrong with frames that end because the connection does.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.get()
    }
}

pub(super) struct FrameGuard {
    payload: dev::Payload,
    headers: Headers,
    ending: Ending,
    ended: bool,
}

impl FrameGuard {
    pub(super) fn new(payload: dev::Payload, max_frame: usize) -> (Self, Ending) {
        let ending = Ending::default();
        let headers = Headers::new(max_frame as u64);
        (Self { payload, headers, ending: ending.clone(), ended: false }, ending)
    }
}

impl Stream for FrameGuard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(read) = Pin::new(&mut this.payload).poll_next(cx) else { return Poll::Pending };
        let Some(Ok(mut bytes)) = read else {
            this.ended = true;
            return Poll::Ready(None);
        };
        if let Err((fault, good)) = this.headers.admit(&bytes) {
            this.ended = true;
            this.ending.0.set(Some(fault));
            bytes.truncate(good);
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// Where in the frames the next byte belongs.
struct Headers {
    max_frame: u64,
    place: Place,
    /// Pieces so far of a message that has not ended.
    pieces: u32,
}

enum Place {
    /// In a header, of which these bytes are there.
    Header { seen: [u8; 10], len: usize },
    /// In masking key and payload, of which so many bytes are to come.
    Payload { left: u64 },
}

const AT_HEADER: Place = Place::Header { seen: [0; 10], len: 0 };

impl Headers {
    fn new(max_frame: u64) -> Self {
        Self { max_frame, place: AT_HEADER, pieces: 0 }
    }

    /// What is wrong, and how many of these bytes lie before the frame with which it is.
    fn admit(&mut self, bytes: &[u8]) -> Result<(), (Fault, usize)> {
        let (mut at, mut good) = (0, 0);
        while at < bytes.len() {
            match &mut self.place {
                Place::Payload { left } => {
                    let here = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.place = AT_HEADER;
                        good = at;
                    }
                }
                Place::Header { seen, len } => {
                    seen[*len] = bytes[at];
                    *len += 1;
                    at += 1;
                    let header = *seen;
                    if let Some(length) = payload_length(&header[..*len]) {
                        self.check(header[0], header[1], length).map_err(|fault| (fault, good))?;
                        self.place = Place::Payload { left: length.saturating_add(MASK) };
                    }
                }
            }
        }
        Ok(())
    }

    fn check(&mut self, first: u8, second: u8, length: u64) -> Result<(), Fault> {
        let (last, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
        let masked = second & 0x80 != 0;
        let is_control = opcode >= 8;
        let fits = match opcode {
            0 => self.pieces > 0,
            1 | 2 => self.pieces == 0,
            8..=10 => last && length <= LONGEST_CONTROL,
            _ => false,
        };
        if !fits || !masked || reserved != 0 {
            return Err(Fault::Broken);
        }
        if !is_control {
            self.pieces = if last { 0 } else { self.pieces + 1 };
        }
        if length > self.max_frame || self.pieces > MOST_PIECES {
            return Err(Fault::TooLarge);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame; `first` is FIN, the reserved bits and the opcode.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    /// Whether the bytes come in one read or in as many as they are.
    fn admit(max: u64, bytes: &[u8]) -> Result<(), (Fault, usize)> {
        let mut by_byte = Headers::new(max);
        let fault = bytes.iter().find_map(|byte| by_byte.admit(&[*byte]).err()).map(|(fault, _)| fault);
        let whole = Headers::new(max).admit(bytes);
        assert_eq!(whole.err().map(|(fault, _)| fault), fault);
        whole
    }

    #[test]
    fn what_came_before_a_bad_frame_is_good() {
        let good = frame(0x81, b"hello");
        for (bad, fault) in [
            (frame(0x82, &[0; 200]), Fault::TooLarge),
            // Reserved bits: compressed, though nobody agreed on that.
            (frame(0xc1, b"x"), Fault::Broken),
            (frame(0x83, b"x"), Fault::Broken),
            // A piece of nothing, a control frame in pieces, or a long one.
            (frame(0x80, b"x"), Fault::Broken),
            (frame(0x09, b"x"), Fault::Broken),
            (frame(0x89, &[0; 126]), Fault::Broken),
            (vec![0x81, 1, b'x'], Fault::Broken),
        ] {
            let read = [good.clone(), good.clone(), bad.clone()].concat();
            assert_eq!(admit(150, &read), Err((fault, 2 * good.len())), "{bad:?}");
        }
    }

    #[test]
    fn messages_in_pieces_are_good_with_control_frames_in_between() {
        let pieces = [frame(0x01, b"a"), frame(0x89, b""), frame(0x00, b"b"), frame(0x80, b"c"), frame(0x82, b"d")];
        assert_eq!(admit(10, &pieces.concat()), Ok(()));
        // The next message may not begin before that.
        assert_eq!(admit(10, &[frame(0x01, b"a"), frame(0x81, b"b")].concat()), Err((Fault::Broken, 7)));
    }

    #[test]
    fn pieces_without_end_are_refused_though_they_are_empty() {
        let most = usize::try_from(MOST_PIECES).unwrap();
        let begin = frame(0x01, b"a");
        let message = |pieces| [begin.clone(), frame(0x00, b"").repeat(pieces), frame(0x80, b"")].concat();
        assert_eq!(admit(10, &message(most - 1).repeat(2)), Ok(()));
        assert!(matches!(admit(10, &message(most)), Err((Fault::TooLarge, _))));
    }

    #[test]
    fn a_length_of_all_bits_is_only_too_large() {
        let announced = [vec![0x82, 0xff], vec![0xff; 8]].concat();
        assert_eq!(admit(10, &announced), Err((Fault::TooLarge, 0)));
        assert_eq!(admit(u64::MAX, &announced), Ok(()));
    }
}
