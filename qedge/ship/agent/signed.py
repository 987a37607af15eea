"""Whether the keys that a device trusts signed a version."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from qedge.bundle import canonical
from qedge.errors import QedgeError
from qedge.ship.agent.common import TRUSTED, Refused, json_of
from qedge.trust import keygen


def refuse_unsigned(request: dict[str, Any], root: str) -> None:
    """Refuse a bundle that no key in ``trusted_keys`` signed, or with a lower serial than the active one's."""
    trusted = os.path.join(os.path.dirname(root), TRUSTED)
    if not os.path.exists(trusted):
        return
    layout, store = request["layout"], os.path.join(root, "store")

    def stored(path: str) -> Any:
        return json_of(os.path.join(store, layout[path])) if path in layout else None

    manifest, signature = stored("bundle/manifest.json"), stored("bundle/signature.json")
    if not isinstance(manifest, dict) or not isinstance(signature, dict):
        raise Refused(f"the bundle is not signed, and {trusted} asks for it: qedge sign BUNDLE --key KEY")
    signed = {key: signature.get(key) for key in ("digest", "name", "serial", "target")}
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    digest = hashlib.sha256(canonical.dumps(rest).encode("utf-8", "surrogatepass")).hexdigest()
    of = {"digest": digest, "name": manifest["model"]["name"], "target": manifest["target"]}
    files = {f"bundle/{path}": entry["sha256"] for path, entry in manifest["files"].items()}
    given = {path: sha for path, sha in layout.items() if path.startswith("bundle/")}
    if not isinstance(signed["serial"], int) or any(signed[key] != value for key, value in of.items()):
        raise Refused("the signature is that of another bundle")
    if {
        p: s for p, s in given.items() if p not in ("bundle/manifest.json", "bundle/signature.json")
    } != files:
        raise Refused("the files are not those of the signed manifest")
    message = canonical.dumps({**signed, "format": "qedge-signature", "version": 1})
    try:
        keygen.verify(message.encode("utf-8", "surrogatepass"), str(signature.get("signature")), trusted)
    except QedgeError as problem:
        raise Refused(f"{trusted}: {problem.message}") from None
    active = json_of(os.path.join(root, "current", "bundle", "signature.json"))
    if isinstance(active, dict) and signed["serial"] < active.get("serial", 0):
        raise Refused(f"serial {signed['serial']} is older than the active version's {active['serial']}")
