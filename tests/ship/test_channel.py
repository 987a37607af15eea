"""Signed channels: what a device follows, and what whoever holds the registry cannot make of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qedge.cli._app import run
from qedge.errors import DataError, IntegrityError, QedgeError, UsageError
from qedge.ship import push
from qedge.ship.channel import ARTIFACT, Channel, read_channel, set_channel
from qedge.trust import keygen
from tests import json_page
from tests.ship.registries import Liar, digest
from tests.unit.tiny_bundles import make_bundle, tiny_model

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs openssh-client")


class Shop:
    """A registry with two versions of a model and a channel that names the first, then the second."""

    def __init__(self, folder: Path, liar: Liar, host: str) -> None:
        self.liar, self.host = liar, host
        self.keys = [folder / name for name in ("anna", "eve")]
        for key in self.keys:
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key.name, "-f", str(key)], check=True
            )
        self.pub = Path(f"{self.keys[0]}.pub")
        self.versions = [
            push(make_bundle(folder / str(k), tiny_model(seed=k + 3)), f"oci://{host}/kws:{k}").digest
            for k in (1, 2)
        ]
        self.channel = f"oci://{host}/kws:stable"
        self.first = set_channel(self.channel, f"oci://{host}/kws:1", self.keys[0])
        self.old = self.manifest()
        self.second = set_channel(self.channel, f"oci://{host}/kws:2", self.keys[0])
        self.beta = set_channel(f"oci://{host}/kws:beta", f"oci://{host}/kws:1", self.keys[0], number=9)

    def manifest(self, tag: str = "stable") -> bytes:
        return self.liar.manifests[tag]

    def serve(self, data: bytes) -> None:
        """Have the registry give other bytes as the channel's file, by a manifest that fits."""
        self.liar.blobs[digest(data)] = data
        document = json.loads(self.old)
        document["layers"][0] |= {"digest": digest(data), "size": len(data), "data": None}
        self.liar.manifests["stable"] = json.dumps(document).encode()

    def signed(self, channel: Channel, key: Path, namespace: str = "qedge-channel") -> None:
        self.serve(channel._replace(armoured=keygen.sign(channel.message, key, namespace)).encoded())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    liar = Liar()
    with liar.serve() as host:
        yield Shop(tmp_path_factory.mktemp("shop"), liar, host)


@pytest.fixture
def shop(place: Shop) -> Iterator[Shop]:
    kept = dict(place.liar.manifests)
    yield place
    place.liar.manifests, place.liar.digests = kept, {}


def test_a_channel_names_a_version_and_its_number_rises(shop: Shop) -> None:
    assert (shop.first.number, shop.first.digest) == (1, shop.versions[0])
    found = read_channel(shop.channel, shop.pub)
    assert (found.number, found.digest, found.signer) == (2, shop.versions[1], "anna")
    assert read_channel(shop.channel, shop.pub, last=found) == found
    assert (
        read_channel(shop.channel, shop.pub, last=shop.beta) == found
    )  # numbers of two channels do not compare
    back = set_channel(shop.channel, f"oci://{shop.host}/kws:1", shop.keys[0])
    assert (back.number, back.digest) == (3, shop.versions[0])
    with pytest.raises(UsageError, match="number: found 3, expected an integer from 4"):
        set_channel(shop.channel, f"oci://{shop.host}/kws:1", shop.keys[0], number=3)
    with pytest.raises(UsageError, match="another repository"):
        set_channel(shop.channel, f"oci://{shop.host}/other:1", shop.keys[0])
    with pytest.raises(DataError, match="no such bundle"):
        set_channel(shop.channel, f"oci://{shop.host}/kws:none", shop.keys[0])
    with pytest.raises(DataError, match="no qedge bundle"):
        set_channel(shop.channel, f"oci://{shop.host}/kws:beta", shop.keys[0])
    with pytest.raises(DataError, match="no channel"):
        set_channel(f"oci://{shop.host}/kws:1", f"oci://{shop.host}/kws:2", shop.keys[0])


def test_a_registry_cannot_have_another_version_signed_than_the_one_named(shop: Shop) -> None:
    """Neither by another manifest under a digest, nor by a tag whose digest no bundle has."""
    one, two = shop.versions
    shop.liar.manifests[one] = shop.liar.manifests[two]
    with pytest.raises(IntegrityError, match="another manifest"):
        set_channel(shop.channel, f"oci://{shop.host}/kws@{one}", shop.keys[0])
    shop.liar.digests = {"1": "sha256:" + "0" * 64}
    with pytest.raises(DataError, match="no such bundle"):
        set_channel(shop.channel, f"oci://{shop.host}/kws:1", shop.keys[0])
    shop.liar.digests = {"1": one}
    with pytest.raises(IntegrityError, match="another manifest"):
        set_channel(shop.channel, f"oci://{shop.host}/kws:1", shop.keys[0])
    assert read_channel(shop.channel, shop.pub) == shop.second._replace(signer="anna")


def altered(**fields: object) -> Callable[[Shop], None]:
    return lambda shop: shop.serve(json.dumps({**json.loads(shop.second.encoded()), **fields}).encode())


ATTACKS: dict[str, tuple[Callable[[Shop], None], str]] = {
    "an earlier word of the channel": (
        lambda s: s.liar.manifests.update(stable=s.old), "number 1, expected at least 2"),
    "another channel's word": (
        lambda s: s.liar.manifests.update(stable=s.manifest("beta")), "the channel of kws:beta"),
    "a word of another repository": (
        lambda s: s.signed(s.second._replace(repository="other"), s.keys[0]), "the channel of other:stable"),
    "two versions under one number": (
        lambda s: s.signed(s.second._replace(digest=s.versions[0]), s.keys[0]), "two versions under the number 2"),
    "signed by a stranger": (
        lambda s: s.signed(s.second._replace(number=3), s.keys[1]), "signed by no key"),
    "a bundle's signature": (
        lambda s: s.signed(s.second._replace(number=3), s.keys[0], "qedge-bundle"), "does not fit"),
    "unsigned": (altered(signature=""), "signed by no key"),
    "another version": (altered(digest="sha256:" + "0" * 64), "does not fit"),
    "a higher number": (altered(number=7), "does not fit"),
    "a number that is none": (altered(number="7"), "number: found '7', expected an integer"),
    "a number beyond reason": (altered(number=10**400), "number: found"),
    "a version by tag": (altered(digest="kws:2"), "digest: found 'kws:2'"),
    "a word too many": (altered(also=1), "also: unknown key"),
    "a key twice": (
        lambda s: s.serve(s.second.encoded().replace(b'"number": 2', b'"number": 7, "number": 2')),
        "'number' is there twice"),
    "other bytes inside the manifest": (
        lambda s: s.liar.manifests.update(stable=s.old.replace(b'"data":"ew', b'"data":"fw')), "other bytes"),
    "no JSON": (lambda s: s.serve(b"{"), "not valid JSON"),
    "half a character": (altered(name="\ud800"), "not valid JSON"),
    "a version in the channel's place": (
        lambda s: s.liar.manifests.update(stable=s.manifest("2")), "no channel"),
    "a channel of two files": (
        lambda s: s.liar.manifests.update(stable=json.dumps(
            {**json.loads(s.old), "layers": json.loads(s.old)["layers"] * 2}).encode()), "no channel"),
    "a file of gigabytes": (
        lambda s: s.liar.manifests.update(stable=s.old.replace(b'"size":', b'"size":99999999')), "size: found"),
    "nothing": (lambda s: s.liar.manifests.pop("stable"), "no such channel"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_the_next_word_of_the_channel_is_refused(shop: Shop, attack: str) -> None:
    act, said = ATTACKS[attack]
    act(shop)
    with pytest.raises(QedgeError, match=said) as caught:
        read_channel(shop.channel, shop.pub, last=shop.second)
    assert type(caught.value) in (IntegrityError, DataError)
    assert ARTIFACT.encode() in shop.old


def test_the_commands_set_and_show(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    version = f"oci://{shop.host}/kws:1"
    assert run(["channel", "set", shop.channel, version, "--key", str(shop.keys[0]), "--json"]) == 0
    json_page.check("channel set", json.loads(capfd.readouterr().out))
    assert run(["channel", "show", shop.channel, "--signed-by", str(shop.pub), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["signer"] == "anna"
    assert run(["channel", "show", shop.channel, "--signed-by", f"{shop.keys[1]}.pub"]) == 9
    assert run(["channel", "show", shop.channel]) == 2
    assert run(["channel", "show", f"{shop.channel}@sha256:{'0' * 64}", "--signed-by", str(shop.pub)]) == 2
