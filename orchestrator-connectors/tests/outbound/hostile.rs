//! Upstreams that break off, lie, flood or never end.

use orchestrator_connectors::egress::{BodyLimit, EgressAnswer, EgressLimits};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::upstream::{Upstream, answer, client, get, get_within, soon, until_closed};

const SMALL: EgressLimits = EgressLimits { success: BodyLimit::Whole(64 << 10), other: BodyLimit::Beginning(1 << 10) };

fn assert_perhaps_seen(outcome: Result<EgressAnswer, CallError>, what: &str) {
    let failed = outcome.expect_err(what);
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Failed, Sent::Maybe), "{what}: {failed}");
    assert!(!failed.detail.contains("127.0.0.1"), "{failed}");
}

#[tokio::test]
async fn an_upstream_that_closes_before_reading_may_have_seen_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert_perhaps_seen(get(&client(), &format!("http://{address}/")).await, "closed");
}

#[tokio::test]
async fn inv_19_an_upstream_that_reads_and_resets_is_called_once() {
    let upstream = Upstream::serving(|_, socket: TcpStream| async move {
        socket.set_zero_linger().unwrap();
        None
    })
    .await;
    assert_perhaps_seen(get(&client(), &upstream.url("/")).await, "reset");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn inv_19_a_kept_connection_that_is_reset_is_not_called_again() {
    // The second request arrives on the kept connection; the client cannot know how far it got.
    let upstream = Upstream::serving(|request, mut socket: TcpStream| async move {
        if request.target == "/first" {
            socket.write_all(answer(200, "", "").as_bytes()).await.unwrap();
            return Some(socket);
        }
        socket.set_zero_linger().unwrap();
        None
    })
    .await;
    let client = client();
    assert_eq!(get(&client, &upstream.url("/first")).await.unwrap().status, 200);
    assert_perhaps_seen(get(&client, &upstream.url("/second")).await, "reset");
    assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
}

#[tokio::test]
async fn an_answer_that_is_no_http_or_breaks_off_is_a_failure() {
    for told in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "220 mail.example ESMTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    ] {
        let upstream = Upstream::answering_once(told).await;
        assert_perhaps_seen(get(&client(), &upstream.url("/")).await, told);
    }
}

#[tokio::test]
async fn what_follows_the_announced_length_is_not_read_into_the_next_answer() {
    let told = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let upstream = Upstream::answering(told).await;
    let client = client();
    for _ in 0..10 {
        // A connection with such a surplus may fail the next call; it never answers it.
        if let Ok(told) = get(&client, &upstream.url("/")).await {
            assert_eq!(&told.body[..], b"ok");
        }
    }
}

/// Tells when the client has closed the connection.
async fn telling_when_closed(
    head: &'static str,
    chunk: Option<&'static [u8]>,
) -> (Upstream, mpsc::UnboundedReceiver<()>) {
    let (tell, told) = mpsc::unbounded_channel();
    let upstream = Upstream::serving(move |_, mut socket: TcpStream| {
        let tell = tell.clone();
        async move {
            if socket.write_all(head.as_bytes()).await.is_ok() {
                while let Some(chunk) = chunk {
                    if socket.write_all(chunk).await.is_err() {
                        break;
                    }
                }
                until_closed(&mut socket).await;
            }
            let _ = tell.send(());
            None
        }
    })
    .await;
    (upstream, told)
}

const ENDLESS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNK: &[u8] = b"10\r\n0123456789abcdef\r\n";

#[tokio::test]
async fn inv_37_an_endless_body_is_given_up_and_its_connection_closed() {
    let (upstream, mut closed) = telling_when_closed(ENDLESS, Some(CHUNK)).await;
    let failed = get_within(&client(), &upstream.url("/"), SMALL).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::Maybe));
    soon(closed.recv()).await.unwrap();
}

#[tokio::test]
async fn inv_37_of_an_endless_failure_the_beginning_is_shown() {
    let (upstream, mut closed) =
        telling_when_closed("HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n", Some(CHUNK)).await;
    let failed = get_within(&client(), &upstream.url("/"), SMALL).await.unwrap();
    assert_eq!((failed.status.as_u16(), failed.body.len(), failed.cut), (500, 1 << 10, true));
    soon(closed.recv()).await.unwrap();
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read() {
    let (upstream, mut closed) = telling_when_closed("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", None).await;
    let failed = get_within(&client(), &upstream.url("/"), SMALL).await.unwrap_err();
    assert_eq!(failed.kind, CallErrorKind::Rejected);
    soon(closed.recv()).await.unwrap();
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_read() {
    let body = "x".repeat(64 << 10);
    let upstream = Upstream::answering(answer(200, "", &body)).await;
    let told = get_within(&client(), &upstream.url("/"), SMALL).await.unwrap();
    assert_eq!((told.body.len(), told.cut), (64 << 10, false));
    let upstream = Upstream::answering(answer(404, "", &body[..1 << 10])).await;
    assert!(!get_within(&client(), &upstream.url("/"), SMALL).await.unwrap().cut);
}

#[tokio::test]
async fn inv_37_endless_headers_are_given_up() {
    for line in [
        &b"X-A: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n"[..],
        &b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..],
    ] {
        let (upstream, mut closed) = telling_when_closed("HTTP/1.1 200 OK\r\n", Some(line)).await;
        assert_perhaps_seen(get(&client(), &upstream.url("/")).await, "headers");
        soon(closed.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_compressed_body_is_not_inflated() {
    let upstream = Upstream::answering(answer(200, "Content-Encoding: gzip\r\n", "not really gzip")).await;
    assert_eq!(&get(&client(), &upstream.url("/")).await.unwrap().body[..], b"not really gzip");
    assert_eq!(upstream.last().header("accept-encoding"), None);
}

#[tokio::test]
async fn inv_18_dropping_a_call_that_nobody_answers_closes_its_connection() {
    let (began, mut begins) = mpsc::unbounded_channel();
    let (tell, mut closed) = mpsc::unbounded_channel();
    let upstream = Upstream::serving(move |_, mut socket: TcpStream| {
        let (began, tell) = (began.clone(), tell.clone());
        async move {
            began.send(()).unwrap();
            until_closed(&mut socket).await;
            tell.send(()).unwrap();
            None
        }
    })
    .await;
    let (client, url) = (client(), upstream.url("/"));
    let call = tokio::spawn(async move { get(&client, &url).await });
    soon(begins.recv()).await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    soon(closed.recv()).await.unwrap();
}

#[tokio::test]
async fn inv_18_dropping_a_call_whose_body_drips_closes_its_connection() {
    let (dripped, mut drips) = mpsc::unbounded_channel();
    let (tell, mut closed) = mpsc::unbounded_channel();
    let upstream = Upstream::serving(move |_, mut socket: TcpStream| {
        let (dripped, tell) = (dripped.clone(), tell.clone());
        async move {
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nd").await.unwrap();
            dripped.send(()).unwrap();
            until_closed(&mut socket).await;
            tell.send(()).unwrap();
            None
        }
    })
    .await;
    let (client, url) = (client(), upstream.url("/"));
    let call = tokio::spawn(async move { get(&client, &url).await });
    soon(drips.recv()).await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    soon(closed.recv()).await.unwrap();
}
