"""Citations as TeX and the tools of their standards read them."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from opendata_pkg.catalogue.branch import License
from opendata_pkg.citation import Agent, Citation, Covers, Fixity, Over, to_biblatex, to_bibtex

ASCII = "".join(map(chr, range(0x20, 0x7F)))
LATIN = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿĀăĄćĈċČďĐēĔėĘěĜğĠģĤĩĪįİıĵķĹļľŁńņňŌŏőŒŕřśŝşšţťũūŭůűŵŷŸźżžȘțẞṣḥ"
GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρςστυφχψω"
SIGNS = "–—‐‑‘’“”„«»…·•†§¶©®™£¡¿µ°×±−≤≥≈→′∞"  # noqa: RUF001
PLAIN = Citation(
    name="rat",
    covers=Covers.DATASET,
    title="Rats & mice: 100% of α_1 #3 {x}",  # noqa: RUF001
    authors=(
        Agent(name="Blue Brain Project, EPFL"),
        Agent(name="Ada Lövelace", family="Lövelace", given="Ada"),
        Agent(name="Éva Żółw and Sons", family="Żółw and Sons, {Éva", given="Éva"),
        Agent(name=ASCII),
    ),
    licenses=(License(name="CC-BY-4.0"), License(title="Terms & 50% of \\others_")),
    fixities=(Fixity(digest=f"sha256:{'0123456789abcdef' * 4}", over=Over.SUBTREE, incomplete=2),),
    publisher="EPFL & Co_",
    version="2026.1.0",
    date="2024-03-01",
    url="https://store.example.org/a%20b_c~d/(1)/",
    commit="0123456789" * 4,
    keywords=("a, b", "50%"),
)
ENTRIES = (
    PLAIN,
    replace(PLAIN, name="doi", doi="10.1234/a_b-c.d", authors=(Agent(name="others"),)),
    replace(PLAIN, name="odd-doi", doi="10.1002/(SICI)1<5::AID>3.0.CO;2-E"),
    replace(PLAIN, name="letters", title=f"{ASCII} {LATIN} {GREEK} {SIGNS}"),
    replace(PLAIN, name="bare", publisher=None, url=None, date=None, version=None, fixities=(), licenses=()),
    replace(
        PLAIN,
        name="part",
        covers=Covers.SELECTION,
        fixities=(Fixity(digest=f"sha256:{'f' * 64}", over=Over.SELECTION),),
        query="include *_[0-9]%#.swc !x, larger 5",
        source="s3://bucket/a_b%20#/",
        files=2,
        size_bytes=5,
    ),
)

needs_tex = pytest.mark.skipif(
    not (shutil.which("pdflatex") and shutil.which("bibtex")), reason="pdflatex and bibtex are not installed"
)


def has_tex_file(name):
    """Whether TeX knows a package or style."""
    if shutil.which("kpsewhich") is None:
        return False
    return subprocess.run(["kpsewhich", name], capture_output=True, check=False).returncode == 0


def latex(folder):
    """Set main.tex; the test fails at the first error."""
    words = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert "Missing character" not in log
    assert "There were undefined" not in log
    return log


@needs_tex
@pytest.mark.parametrize(
    ("style", "packages"),
    [("plain", "url"), ("abbrv", "url"), ("alpha", "hyperref"), ("unsrt", "hyperref"), ("plainnat", "natbib,url")],
)
def test_bibtex_compiles(style, packages, tmp_path):
    """Every entry is set by pdflatex in its oldest encoding, whatever is in titles, names and addresses; all are cited."""
    if not has_tex_file(f"{style}.bst"):
        pytest.skip(f"{style}.bst is not installed")
    (tmp_path / "r.bib").write_text("\n".join(map(to_bibtex, ENTRIES)), encoding="utf-8")
    cites = "".join(f"\\cite{{{entry.key}}}" for entry in ENTRIES)
    (tmp_path / "main.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{{packages}}}\\begin{{document}}{cites}"
        f"\\bibliographystyle{{{style}}}\\bibliography{{r}}\\end{{document}}"
    )
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "main.tex"], cwd=tmp_path, capture_output=True, check=True)
    done = subprocess.run(["bibtex", "main"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    complaints = [line for line in done.stdout.splitlines() if line.startswith("Warning")]
    assert all("empty year" in line or "to sort" in line for line in complaints), complaints
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "main.tex"], cwd=tmp_path, capture_output=True, check=False)
    latex(tmp_path)
    assert (tmp_path / "main.bbl").read_text().count("\\bibitem") == len(ENTRIES)
    assert "a%20b_c~d/(1)/" in (tmp_path / "main.bbl").read_text()


@needs_tex
def test_bibtex_would_tell(tmp_path):
    """The judge is awake: an unescaped `&` ends in an error."""
    bad = to_bibtex(PLAIN).replace("\\&", "&")
    (tmp_path / "r.bib").write_text(bad)
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage{url}\\begin{document}\\nocite{*}"
        "\\bibliographystyle{plain}\\bibliography{r}\\end{document}"
    )
    for words in (["pdflatex", "-interaction=nonstopmode", "main.tex"], ["bibtex", "main"]):
        subprocess.run(words, cwd=tmp_path, capture_output=True, check=True)
    with pytest.raises(AssertionError, match="Misplaced alignment tab"):
        latex(tmp_path)


@needs_tex
@pytest.mark.skipif(
    not (shutil.which("biber") and has_tex_file("biblatex.sty")), reason="biber and biblatex are not installed"
)
def test_biblatex_compiles(tmp_path):
    """The same with biber, in Unicode."""
    entries = [entry for entry in ENTRIES if entry.name != "letters"]
    (tmp_path / "r.bib").write_text("\n".join(map(to_biblatex, entries)), encoding="utf-8")
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{biblatex}\\addbibresource{r.bib}"
        "\\begin{document}\\nocite{*}\\printbibliography\\end{document}"
    )
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "main.tex"], cwd=tmp_path, capture_output=True, check=True)
    done = subprocess.run(["biber", "main"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "ERROR" not in done.stdout
    latex(tmp_path)


@needs_tex
def test_biblatex_fields_are_tex(tmp_path):
    """Also where there is no biber: title and note of each `@dataset`, set as TeX by themselves."""
    entries = [replace(entry, title=entry.title.replace(GREEK, "").replace(SIGNS, "")) for entry in ENTRIES]
    lines = [line for entry in entries for line in to_biblatex(entry).splitlines()]
    values = [
        line.partition(" = {")[2].removesuffix("},")
        for line in lines
        if line.startswith(("  title", "  author", "  addendum", "  publisher", "  keywords"))
    ]
    body = "\n\n".join(values).replace("α", "alpha")  # noqa: RUF001
    (tmp_path / "main.tex").write_text(
        f"\\documentclass{{article}}\\usepackage[T1]{{fontenc}}\\begin{{document}}{body}\\end{{document}}",
        encoding="utf-8",
    )
    latex(tmp_path)
    assert len(values) > 4 * len(entries)


@pytest.mark.s3
def test_citations_of_a_published_store_conform(published, tool, tmp_path):
    """`opendata cite --format cff` of a release and of a dataset follows the Citation File Format."""
    files = []
    entries = published.datasets("2026.1.1")
    # The root, and a dataset below it: each is a run of the command.
    for branch in (".", max(entries, key=len)):
        words = ("opendata", "cite", f"{branch}@2026.1.1", "--store", published.store)
        files.append(tmp_path / f"{entries[branch]['name']}.cff")
        files[-1].write_text(tool(*words, "--format", "cff", cwd=tmp_path), encoding="utf-8")
    (item,) = json.loads(tool(*words, "--json", cwd=tmp_path))
    assert item["custom"]["commit"] == entries[branch]["commit"]
    tool("check-jsonschema", "--builtin-schema", "vendor.citation-file-format", *files, cwd=tmp_path)
