//! Health and metrics.

use crate::install::{self, WORKSPACE};

#[tokio::test]
async fn inv_46_a_node_that_drains_is_alive_and_not_ready() {
    let install = install::start().await;
    assert_eq!((install.ops("/healthz").await.status, install.ops("/readyz").await.status), (200, 200));
    install.engine.draining().cancel();
    let drained = install.ops("/readyz").await;
    assert_eq!((install.ops("/healthz").await.status, drained.status), (200, 503));
    assert_eq!(drained.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn metrics_are_on_the_ops_listener_and_nowhere_else() {
    let install = install::start_onboarded().await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(install.get(path, &install.admin()).await.status, 404, "{path}");
    }
    install.get("/config", &install.service(WORKSPACE)).await;
    install.get("/config", "").await;
    let metrics = install.ops("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some(orchestrator_http::metrics::CLASSIC));
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        "orchestrator_store_up 1.0",
        "orchestrator_queue_ready 0.0",
        "orchestrator_hint_queue_up 1.0",
        "orchestrator_hint_queue_depth 0.0",
        "# TYPE orchestrator_worker_lost_leases_total counter",
        "orchestrator_worker_lost_leases_total 0.0",
        "orchestrator_http_requests_total{method=\"GET\",route=\"/config\",status=\"2xx\"} 1",
        "orchestrator_http_requests_total{method=\"GET\",route=\"/config\",status=\"4xx\"} 1",
        "orchestrator_auth_refusals_total{code=\"unauthenticated\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in {text}");
    }
}
