"""A mail server for tests (aiosmtpd). Tells the port it has, and then each message that it took, as lines of JSON. Ends with its standard
input.

Arguments: the mode (`tls`, `starttls` or `clear`), and for the first two the files of certificate and key. Who logs in is
`user` with `open sesame`. Recipients whose names begin with `no-` or `later-` are refused for good or for now.
"""

import asyncio
import base64
import email
import email.policy
import json
import os
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

MODE = sys.argv[1]
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def told(what):
    print(json.dumps(what), flush=True)


def part(one):
    return {
        "type": one.get_content_type(),
        "disposition": one.get_content_disposition(),
        "filename": one.get_filename(),
        "content_id": one["Content-ID"],
        "base64": base64.b64encode(one.get_payload(decode=True) or b"").decode(),
    }


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("quota@"):
            return "452 4.2.2 come back later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 fine"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("no-"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("later-"):
            return "451 4.7.1 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.SMTP)
        if message["Subject"] == "spam":
            return "554 5.7.1 not here"
        if message["Subject"] == "busy":
            return "451 4.3.0 later"
        told(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "options": envelope.mail_options,
                "peer": session.peer[1],
                "tls": server.transport.get_extra_info("ssl_object") is not None,
                "login": getattr(session.auth_data, "login", b"").decode(),
                "headers": [[name, str(value)] for name, value in message.items()],
                "parts": [part(one) for one in message.walk() if not one.is_multipart()],
                "structure": [one.get_content_type() for one in message.walk()],
                "raw": envelope.content.decode("utf-8", "replace"),
            }
        )
        return "250 2.0.0 queued as 4711"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"user", b"open sesame")
    return AuthResult(success=good, handled=False, auth_data=data)


async def main():
    context = None
    if MODE != "clear":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    starttls = MODE == "starttls"

    def session():
        return SMTP(
            Handler(),
            hostname="mail.test",
            enable_SMTPUTF8=True,
            require_starttls=starttls,
            tls_context=context if starttls else None,
            auth_required=MODE != "clear",
            auth_require_tls=starttls,
            authenticator=authenticate,
        )

    implicit = context if MODE == "tls" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=implicit)
    told({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
