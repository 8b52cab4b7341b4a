"""An S3-compatible store for tests (SeaweedFS). Tells the port it has once an object can be put, as a line of JSON, and
ends with its standard input. Its one key is `AKTEST` with `open-sesame-0123456789`; its bucket is `shop`.

Argument: a folder for its data.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

folder = sys.argv[1]


def free():
    """A port that is free, and whose neighbour for the store's own talk is too: below what the system hands out."""
    while True:
        port = random.randrange(12000, 22000)
        try:
            for one in (port, port + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", one))
            return port
        except OSError:
            continue


master, volume, filer, s3 = (free() for _ in range(4))
identity = {"name": "test", "credentials": [{"accessKey": "AKTEST", "secretKey": "open-sesame-0123456789"}]}
identity["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
with open(os.path.join(folder, "s3.json"), "w") as config:
    json.dump({"identities": [identity]}, config)
weed = os.path.join(os.path.dirname(sys.executable), "weed")
server = subprocess.Popen(
    [
        weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}",
        f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", "-s3.port.iceberg=0",
        "-s3.port.lance=0", f"-s3.config={folder}/s3.json", "-volume.max=20", "-volume.minFreeSpace=1MiB", "-master.volumeSizeLimitMB=16",
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)


def end():
    sys.stdin.read()
    server.kill()
    os._exit(0)


threading.Thread(target=end, daemon=True).start()

# Objects lie in folders of the filer: when one can be put there, all is up.
probe = urllib.request.Request(
    f"http://127.0.0.1:{filer}/buckets/shop/probe/ready", data=b"ready", method="PUT", headers={"Content-Type": "text/plain"}
)
for _ in range(600):
    if server.poll() is not None:
        sys.exit("the store ended")
    try:
        urllib.request.urlopen(probe, timeout=5).close()
        with socket.create_connection(("127.0.0.1", s3), timeout=5):
            break
    except (urllib.error.URLError, OSError):
        time.sleep(0.1)
print(json.dumps({"port": s3}), flush=True)
server.wait()
