"""The citizen's page: what is on it, and that it judges every proof as node/proof.py does."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reports
from node.block import decode_block
from node.codec import decode
from node.crypto import is_signature_valid
from node.errors import InvalidEncoding
from node.host.answers import describe_genesis
from node.host.http import make_app
from node.host.index import Index
from node.host.page import build_page
from node.host.server import serve_http
from node.merkle import MerkleTree, verify_path
from node.proof import (
    encode_inclusion_proof,
    encode_record_proof,
    make_inclusion_proof,
    make_record_proof,
)
from tests.node.host import curves
from tests.node.host.browser import Browser, needs_browser
from tests.node.host.curves import list_odd_signatures
from tests.node.host.desks import FakeDesk
from tests.node.host.proofs import Proofs, flip, get_reason, judge
from tests.node.samples import make_identity

CODEC_CASES = 3_000
MUTANTS = 1_500


@pytest.fixture(scope="module")
def proofs():
    return Proofs()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "proof.html"
    page.write_bytes(build_page().content)
    browser = Browser(folder / "profile")
    browser.page = page.as_uri()
    yield browser
    browser.close()


@pytest.fixture(params=["the browser's", "the page's"])
def page(request, browser):
    """The page from a file; signatures are checked by either arithmetic."""
    browser.complaints.clear()
    browser.open("about:blank")
    browser.open(browser.page + ("#own" if request.param == "the page's" else ""))
    assert browser.run("hasSubtle()") is (request.param == "the browser's")
    yield browser
    assert browser.complaints == []


def show(page, proof, *, genesis, chain="", transaction=""):
    """Give the page what a citizen would, and read its verdict."""
    page.run(f"element('chain').value = {json.dumps(chain)}")
    page.run(f"element('transaction').value = {json.dumps(transaction)}")
    page.run(f"give('trust', {json.dumps(genesis)}, '')")
    page.run(f"give('proof', {json.dumps(proof)}, '')")
    return page.run(
        "({verdict: document.body.dataset.verdict, headline: element('headline').textContent,"
        " because: element('because').textContent,"
        " failed: [...document.querySelectorAll('#steps .failed span')]"
        "   .map(span => span.textContent),"
        " done: document.querySelectorAll('#steps .done').length,"
        " sealed: document.querySelectorAll('#seals .sealed').length,"
        " facts: element('facts').textContent, checked: hasSubtle()})"
    )


def get_genesis(desk):
    return json.dumps(describe_genesis(desk.genesis))


# The file.


def test_the_page_loads_nothing_and_its_policy_names_its_own_script_and_style():
    page = build_page()
    text = page.content.decode()
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert not re.search(r"https?://|@import|url\(", text)
    for tag in ("script", "style"):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        name = b64encode(sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{name}'" in page.policy
    assert build_page() is page


def test_the_page_wears_the_colours_of_a_report():
    style = (Path(reports.__file__).parent / "page.css").read_text()
    text = build_page().content.decode()
    tokens = re.findall(r"--[a-z-]+: #[0-9a-f]{6}", text)
    assert len(tokens) > 20
    assert [token for token in tokens if token not in style] == []


def test_ids_are_there_once_and_all_that_the_script_asks_for():
    text = build_page().content.decode()
    ids = re.findall(r' id="([a-z-]+)"', text)
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r"element\('([a-z-]+)'\)", text))
    assert asked <= set(ids)


def test_nothing_is_ever_written_as_markup():
    text = build_page().content.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)


def test_the_tampered_proofs_are_refused_here_for_the_reasons_given(proofs):
    assert judge(
        encode_inclusion_proof(proofs.good), proofs.validators, proofs.chain_id
    ) == "ok"
    for name, encoded, reason in proofs.list_tampered():
        found = judge(encoded, proofs.validators, proofs.chain_id)
        assert found.startswith(reason), (name, found)


# In the browser.


@pytest.mark.slow
@needs_browser
def test_a_good_proof_passes(page, proofs):
    encoded = encode_inclusion_proof(proofs.good).hex()
    name = proofs.good.receipt[3:35].hex()
    shown = show(page, encoded, genesis=get_genesis(proofs.desk), chain=proofs.chain_id.hex(),
                 transaction=name)
    assert (shown["verdict"], shown["failed"], shown["done"]) == ("good", [], 7)
    assert shown["sealed"] == 3
    assert name in shown["facts"]
    assert "4 of 5 in block 3" in shown["facts"]
    assert "Compare" not in shown["because"]
    shown = show(page, encoded, genesis=get_genesis(proofs.desk))
    assert (shown["verdict"], shown["done"]) == ("good", 6)
    assert shown["because"].endswith(
        f"s id, {proofs.chain_id.hex()}, with the published one."
    )


@pytest.mark.slow
@needs_browser
def test_each_kind_of_tampering_is_refused_with_its_reason(page, proofs):
    genesis = get_genesis(proofs.desk)
    for name, encoded, reason in proofs.list_tampered():
        shown = show(page, encoded.hex(), genesis=genesis, chain=proofs.chain_id.hex())
        assert shown["verdict"] == "bad", name
        assert shown["headline"] == "This proof does not hold", name
        step, _, said = reason.partition(": ")
        assert shown["failed"][0].startswith(said), (name, step, shown)
        assert shown["facts"] == "", name


@pytest.mark.slow
@needs_browser
def test_a_record_and_its_absence_pass_and_a_changed_one_does_not(page, proofs):
    genesis = get_genesis(proofs.desk)
    state = proofs.desk.chain.state
    key = next(state.items(b"election/h"))[0]
    record = make_record_proof(proofs.block, state, key)
    for proof, headline in (
        (record, "The record is in the state"), (proofs.record, "There was no such record")
    ):
        shown = show(page, encode_record_proof(proof).hex(), genesis=genesis)
        assert (shown["verdict"], shown["headline"]) == ("good", headline)
    for changed, said in (
        (replace(record, value=None), "the record exists"),
        (replace(record, key=record.key + b"x"), "another record"),
        (replace(proofs.record, value=b""), "another record"),
        (replace(record, path=proofs.record.path), "another record"),
    ):
        shown = show(page, encode_record_proof(changed).hex(), genesis=genesis)
        assert (shown["verdict"], shown["failed"]) == ("bad", [said])
    encoded = encode_record_proof(record).replace(record.value, flip(record.value, 9), 1)
    shown = show(page, encoded.hex(), genesis=genesis)
    assert (shown["verdict"], shown["failed"]) == ("bad", ["another record"])
    shown = show(page, encode_record_proof(record).hex(), genesis=genesis,
                 transaction="00" * 32)
    assert shown["failed"] == ["this proves a record, not a transaction"]


@pytest.mark.slow
@needs_browser
def test_a_refused_transaction_is_not_shown_as_a_success(page):
    desk = FakeDesk()
    desk.nonce = 5
    desk.grant()
    block = decode_block(desk.chain.get_encoded(1), desk.genesis.params)
    made = make_inclusion_proof(block, desk.chain.output.receipts, 0)
    shown = show(page, encode_inclusion_proof(made).hex(), genesis=get_genesis(desk))
    assert shown["verdict"] == "warm"
    assert "“nonce gap”: it changed nothing" in shown["because"]


@pytest.mark.slow
@needs_browser
def test_whom_to_trust_is_checked_before_the_proof(page, proofs):
    encoded = encode_inclusion_proof(proofs.good).hex()
    genesis = describe_genesis(proofs.desk.genesis)
    keys = "\n".join(genesis["validators"])
    chain = genesis["chain_id"]
    for text, known, said in (
        (json.dumps(genesis), "0" * 16, f"this is the genesis of chain {chain}"),
        (json.dumps(genesis), "xyz", "a chain id has 16 hex digits"),
        (json.dumps(genesis | {"chain_id": "00" * 8}), "", "someone changed it"),
        (json.dumps(genesis | {"encoded": "93010203"}), chain, "someone changed it"),
        ("{", chain, "this is not a whole JSON file"), (keys, "", "give the chain id as well"),
        (keys[:-2], chain, "is no public key"),
    ):
        shown = show(page, encoded, genesis=text, chain=known)
        assert (shown["verdict"], shown["headline"]) == ("bad", "The genesis cannot be used")
        assert said in shown["failed"][0]
    assert show(page, encoded, genesis=keys, chain=chain)["verdict"] == "good"
    backwards = "\n".join(genesis["validators"][::-1])
    shown = show(page, encoded, genesis=backwards, chain=chain)
    assert shown["failed"] == ["other validators"]
    del genesis["encoded"]
    genesis["time_ns"] = 1_700_000_000_123_456_789  # more digits than a number of JSON holds
    shown = show(page, encoded, genesis=json.dumps(genesis))
    assert "someone changed it" in shown["failed"][0]
    genesis["time_ns"] = proofs.desk.genesis.time_ns
    assert show(page, encoded, genesis=json.dumps(genesis))["verdict"] == "good"


@pytest.mark.slow
@needs_browser
def test_a_proof_of_another_transaction_than_one_s_own_is_refused(page, proofs):
    encoded = encode_inclusion_proof(proofs.good).hex()
    genesis = get_genesis(proofs.desk)
    shown = show(page, encoded, genesis=genesis, transaction="00" * 32)
    assert shown["failed"][0].startswith("you ask for 0000")
    file = json.dumps({"proof": encoded, "transaction_id": "11" * 32})
    assert show(page, file, genesis=genesis)["failed"][0].startswith("the file names")
    for text, said in (
        ('{"proof": 5}', 'the file holds no "proof" in hex'), ("zz", "neither a proof file"),
        ('{"error": "not found", "detail": "in no block"}', "the node answered: in no block"),
    ):
        assert said in show(page, text, genesis=genesis)["failed"][0]
    assert show(page, "", genesis=genesis)["verdict"] == "waiting"
    assert show(page, encoded, genesis="")["headline"] == "Nothing is checked yet"


@pytest.mark.slow
@needs_browser
def test_files_are_taken_as_text_and_as_bytes(page, proofs):
    encoded = encode_inclusion_proof(proofs.good)
    genesis = json.dumps(get_genesis(proofs.desk))
    take = "takeFile('{}', new File([{}], 'given'))".format
    page.run(take("trust", genesis))
    for content in (
        f"fromHex('{encoded.hex()}')", f"'{encoded.hex()}\\n'",
        json.dumps(json.dumps({"proof": encoded.hex()})),
    ):
        page.run("give('proof', '', '')")
        page.run(take("proof", content))
        assert page.run("document.body.dataset.verdict") == "good"


@pytest.mark.slow
@needs_browser
def test_a_fault_of_the_page_s_own_is_never_a_success(browser, proofs):
    browser.open("about:blank")
    browser.open(browser.page)
    encoded = encode_inclusion_proof(proofs.good).hex()
    assert show(browser, encoded, genesis=get_genesis(proofs.desk))["verdict"] == "good"
    browser.run("verifyProof = () => { throw new TypeError('planted'); }")
    shown = show(browser, encoded, genesis=get_genesis(proofs.desk))
    assert (shown["verdict"], shown["headline"]) == ("bad", "This could not be checked")
    assert shown["facts"] == ""
    browser.complaints.clear()


@pytest.mark.slow
@needs_browser
def test_signatures_are_judged_as_libsodium_does(page):
    cases = [(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    )]  # RFC 8032, 7.1, test 1
    cases += [tuple(part.hex() for part in case) for case in list_odd_signatures()]
    for number in range(20):
        identity = make_identity(f"signer {number}")
        message = bytes(number)
        signature = identity.sign(message)
        for changed in (signature, flip(signature, 5 * number)):
            cases.append((identity.public.hex(), message.hex(), changed.hex()))
    expected = [
        is_signature_valid(*(bytes.fromhex(part) for part in case)) for case in cases
    ]
    assert {True, False} == set(expected)
    found = page.run(
        f"Promise.all({json.dumps(cases)}.map(c => isSignatureValid(...c.map(fromHex))))"
    )
    wrong = [case for case, one, other in zip(cases, expected, found, strict=True)
             if one is not other]
    assert wrong == []
    # No signature is known for a key that is written in another than its only way.
    keys = [(curves.P + y).to_bytes(32, "little").hex() for y in range(19)]
    assert page.run(f"{keys}.map(key => decodePoint(fromHex(key)))") == [None] * 19


@pytest.mark.slow
@needs_browser
def test_hashes_are_right_at_every_length(page):
    lengths = [*range(260), 1_000]
    found = page.run(
        f"Promise.all({lengths}.map(n => sha256(new Uint8Array(n).fill(n)).then(toHex)))"
    )
    assert found == [sha256(bytes([n & 255]) * n).hexdigest() for n in lengths]
    same = page.run(
        f"Promise.all({lengths}.map(async n => {{ const d = new Uint8Array(n).fill(n);"
        " return toHex(await sha512(d)) === toHex(sha2(d, 64n)); }))"
    )
    assert all(same)


@pytest.mark.slow
@needs_browser
def test_paths_of_all_small_trees_lead_to_their_roots_and_no_other_place(page):
    trees = [MerkleTree([bytes([n]) for n in range(count)]) for count in range(1, 18)]
    cases = [
        (tree.root.hex(), bytes([place]).hex(), claimed, tree.count,
         [step.hex() for step in tree.prove(place)])
        for tree in trees for place in range(tree.count)
        for claimed in {place, place ^ 1, tree.count - 1} if claimed < tree.count
    ]
    found = page.run(f"""Promise.all({json.dumps(cases)}.map(
        ([root, receipt, index, count, path]) => checkPath(fromHex(root), {{
          receipt: fromHex(receipt), index: BigInt(index), count: BigInt(count),
          path: path.map(fromHex) }}).then(() => 'ok', e => e.message)))""")
    for (root, leaf, claimed, count, path), said in zip(cases, found, strict=True):
        arguments = (bytes.fromhex(root), bytes.fromhex(leaf), claimed, count)
        steps = [bytes.fromhex(step) for step in path]
        assert said == get_reason(verify_path, *arguments, steps)
    assert found.count("ok") == sum(tree.count for tree in trees)


def judge_encoding(data, bytes_max):
    try:
        decode(data, bytes_max)
    except InvalidEncoding as error:
        return str(error)
    return "ok"


def collect(strategy, count):
    """``count`` examples, the same in every run."""
    examples = []

    @settings(max_examples=count, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(strategy)
    def take(example):
        examples.append(example)

    take()
    return examples


TAGS = st.sampled_from([*range(0x7E, 0xA2), *range(0xBE, 0xE2), 0xFF])
ENCODINGS = st.one_of(
    st.binary(max_size=40),
    st.lists(st.one_of(TAGS.map(lambda tag: bytes([tag])), st.binary(max_size=6)), max_size=24)
    .map(b"".join),
    st.builds(
        lambda depth, end: b"\x91" * depth + end, st.integers(0, 10), st.binary(max_size=3)
    ),
)


@pytest.mark.slow
@needs_browser
def test_the_page_s_decoder_agrees_with_the_node_s(browser):
    browser.open(browser.page)
    cases = collect(ENCODINGS, CODEC_CASES)
    cases += [
        bytes([tag]) + (value % (1 << 8 * width)).to_bytes(width, "big")
        for tag, width in zip(range(0xCC, 0xD4), (1, 2, 4, 8) * 2, strict=True)
        for bits in (0, 5, 7, 8, 15, 16, 31, 32, 63, 64) for sign in (1, -1)
        for value in ((sign << bits) - 1, sign << bits, (sign << bits) + 1)
    ]
    cases += [b"\xdd\x00\x01\x00\x00" + b"\xc0" * 65_536, b"\xdc\xff\xff" + b"\xc0" * 65_535]
    expected = [judge_encoding(case, 70_000) for case in cases]
    assert len(set(expected)) > 40
    found = browser.run(
        f"{json.dumps([case.hex() for case in cases])}.map(hex => {{ try {{"
        " decode(fromHex(hex), 70000); return 'ok'; } catch (e) { return e.message; } })"
    )
    wrong = [
        (case.hex(), one, other)
        for case, one, other in zip(cases, expected, found, strict=True) if one != other
    ]
    assert wrong == []


@pytest.mark.slow
@needs_browser
def test_the_page_judges_mutants_of_proofs_as_the_node_does(page, proofs):
    state = proofs.desk.chain.state
    keys = [key for key, _ in state.items(b"")][:3]
    originals = [encode_inclusion_proof(proofs.good), encode_record_proof(proofs.record)]
    originals += [
        encode_record_proof(make_record_proof(proofs.block, state, key)) for key in keys
    ]
    mutations = collect(st.tuples(
        st.integers(0, len(originals) - 1), st.integers(0, 1 << 14), st.integers(0, 5),
        st.binary(min_size=1, max_size=3),
    ), MUTANTS)
    cases = [mutate(originals[which], *how) for which, *how in mutations]
    expected = [judge(case, proofs.validators, proofs.chain_id) for case in cases]
    trust = json.dumps([key.hex() for key in proofs.validators])
    found = page.run(f"""(async () => {{
        const trust = {{chainId: fromHex('{proofs.chain_id.hex()}'),
                        validators: {trust}.map(fromHex)}};
        const said = [];
        for (const hex of {json.dumps([case.hex() for case in cases])}) {{
          try {{ await verifyProof(fromHex(hex), trust); said.push('ok'); }}
          catch (e) {{ said.push(e instanceof Refused ? e.message : `bug: ${{e.stack}}`); }}
        }}
        return said; }})()""")
    for case, one, other in zip(cases, expected, found, strict=True):
        if one.startswith("encoding: not"):  # the page takes both kinds at one door
            one, other = one[:13], other[:13]
        assert one == other, (case.hex(), one, other)
    steps = {said.partition(":")[0] for said in found}
    assert steps >= {"encoding", "header", "seals", "path", "state"}


def mutate(data, at, how, piece):
    at %= len(data)
    match how:
        case 0 | 1:
            return flip(data, at)
        case 2:
            return data[:at] + piece + data[at + len(piece) :]
        case 3:
            return data[:at]
        case 4:
            return data[:at] + piece + data[at:]
        case _:
            return data[: max(at - 40, 0)] + data[at:]


@pytest.mark.slow
@needs_browser
async def test_the_served_page_fetches_the_proof_itself(browser, tmp_path):
    desk = FakeDesk()
    name = desk.cast().hex()
    index = Index.open(tmp_path / "index.sqlite", desk.genesis)
    browser.complaints.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.follow, desk)
        await index.wait(desk.chain.height)
        host, port = await nursery.start(serve_http, make_app(desk, index), "127.0.0.1", 0)

        def visit(path, wanted):
            browser.open(f"http://{host}:{port}{path}")
            return browser.run(f"""new Promise(done => {{
                const look = () => document.body.dataset.verdict === '{wanted}'
                  && done(element('because').textContent + element('proof-note').textContent);
                new MutationObserver(look).observe(document.body, {{attributes: true}});
                look(); }})""")

        def visit_unknown():
            browser.open(f"http://{host}:{port}/proof")
            browser.run(f"element('transaction').value = '{'00' * 32}'")
            browser.run("fetchGenesis()")
            browser.run("fetchProof()")
            return browser.run("element('proof-note').textContent")

        said = await trio.to_thread.run_sync(visit, f"/proof?transaction={name}", "good")
        assert said.startswith("Block 2 holds it for good.")
        assert browser.complaints == []  # its own policy lets all of it run
        said = await trio.to_thread.run_sync(visit_unknown)
        assert said.endswith("in no final block up to 2")
        nursery.cancel_scope.cancel()
    index.close()


@pytest.mark.slow
@needs_browser
def test_the_page_is_drawn_in_light_and_dark_and_on_a_telephone(browser, proofs):
    pictures = set()
    browser.open(browser.page)
    show(browser, encode_inclusion_proof(proofs.good).hex(), genesis=get_genesis(proofs.desk))
    for width, is_dark in ((1_000, False), (1_000, True), (400, False)):
        browser.set_size(width, 900, is_dark=is_dark)
        assert browser.run("document.documentElement.scrollWidth") <= width
        picture = browser.take_picture()
        assert picture.startswith(b"\x89PNG")
        pictures.add(picture)
    assert len(pictures) == 3
