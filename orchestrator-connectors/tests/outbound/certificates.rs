//! Certificates: a CA of one's own, and a client's, against Python's TLS.

use std::fs;

use orchestrator_conformance::servers::{Program, PythonServer};
use orchestrator_core::connector::{CallErrorKind, SecretSlots, Sent};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::kit::{build, connector, context, filled, pointers};

/// Asks each client for a certificate of the CA, and tells whose it was.
const SERVER: &str = r#"
import http.server, json, ssl, sys
port, folder, wanted = int(sys.argv[1]), sys.argv[2], sys.argv[3]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        names = dict(one[0] for one in (self.connection.getpeercert() or {}).get("subject", []))
        body = json.dumps({"client": names.get("commonName")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
context.load_verify_locations(folder + "/ca.pem")
context.verify_mode = ssl.CERT_REQUIRED if wanted == "required" else ssl.CERT_NONE
class Server(http.server.ThreadingHTTPServer):
    def finish_request(self, request, address):
        with context.wrap_socket(request, server_side=True) as secured:
            Handler(secured, address, self)
    def handle_error(self, request, address):
        pass
Server(("127.0.0.1", port), Handler).serve_forever()
"#;

/// A CA, and a folder with what the server needs.
pub(crate) struct Certificates {
    ca: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    path: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "CA of the tests");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let own = Self { ca, _folder: folder, path };
        let server = own.issue("the server", &["127.0.0.1", "api.example"], ExtendedKeyUsagePurpose::ServerAuth);
        for (name, text) in
            [("server.pem", &server.certificate), ("server.key", &server.key), ("ca.pem", &own.ca.pem())]
        {
            fs::write(format!("{}/{name}", own.path), text).unwrap();
        }
        own
    }

    fn issue(&self, name: &str, hosts: &[&str], purpose: ExtendedKeyUsagePurpose) -> Pair {
        let mut params =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(purpose);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn client(&self, name: &str) -> Pair {
        self.issue(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    pub(crate) fn serve(&self, wanted: &str) -> PythonServer {
        PythonServer::start(&[], Program::Text(SERVER), &["{port}", &self.path, wanted])
    }

    pub(crate) fn settings(&self, server: &PythonServer) -> Value {
        json!({"base_url": format!("https://{}", server.address()), "tls": {"ca": self.ca.pem()}})
    }
}

fn get() -> Value {
    json!({"method": "GET", "path": "/"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_of_ones_own_is_trusted_and_no_other() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let server = ours.serve("none");
    let trusting = connector(&ours.settings(&server));
    assert!(trusting.call(&context(), "request", &get()).await.is_ok());
    for settings in [json!({"base_url": format!("https://{}", server.address())}), others.settings(&server)] {
        let failed = connector(&settings).call(&context(), "request", &get()).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let server = certificates.serve("required");
    let (shop, next, stranger) =
        (certificates.client("shop"), certificates.client("shop, rotated"), others.client("x"));
    let settings = certificates.settings(&server);
    let both = format!("{}{}", shop.certificate, shop.key);
    for (secrets, name) in [
        (filled(&[("client_certificate", &shop.certificate), ("client_key", &shop.key)]), "shop"),
        (filled(&[("client_certificate", &both)]), "shop"),
        (filled(&[("client_certificate", &next.certificate), ("client_key", &next.key)]), "shop, rotated"),
    ] {
        let connector = build(&settings, secrets).unwrap();
        for _ in 0..2 {
            let output = connector.call(&context(), "request", &get()).await.unwrap();
            assert_eq!(output["body"]["client"], name);
        }
    }
    let foreign = filled(&[("client_certificate", &stranger.certificate), ("client_key", &stranger.key)]);
    for secrets in [SecretSlots::default(), foreign] {
        assert!(build(&settings, secrets).unwrap().call(&context(), "request", &get()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_23_a_certificate_that_is_none_fails_the_call_and_is_not_shown() {
    let certificates = Certificates::new();
    let (one, two) = (certificates.client("one"), certificates.client("two"));
    let settings = json!({"base_url": "https://127.0.0.1:1", "tls": {"ca": certificates.ca.pem()}});
    for secrets in [
        filled(&[("client_certificate", "canary")]),
        filled(&[("client_certificate", &one.certificate)]),
        filled(&[("client_certificate", &one.certificate), ("client_key", "canary")]),
        filled(&[("client_certificate", &one.certificate), ("client_key", &two.key)]),
    ] {
        let failed = build(&settings, secrets).unwrap().call(&context(), "request", &get()).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::SecretUnavailable, Sent::No), "{failed:?}");
        assert!(!failed.detail.contains("canary") && !failed.detail.contains("BEGIN"), "{failed:?}");
    }
}

#[test]
fn settings_hold_certificates_and_no_keys() {
    let certificates = Certificates::new();
    let key = certificates.client("x").key;
    for ca in ["no certificate", "", key.as_str(), &format!("{}{key}", certificates.ca.pem())] {
        let settings = json!({"base_url": "https://a.example", "tls": {"ca": ca}});
        assert_eq!(pointers(&build(&settings, SecretSlots::default()).err().unwrap()), ["/tls/ca"], "{ca}");
    }
    let plain = json!({"base_url": "https://a.example"});
    assert!(build(&plain, filled(&[("client_key", "k")])).is_err(), "a key without its certificate");
}
