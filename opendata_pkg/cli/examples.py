"""Examples of every command, as `--help` and docs/reference/cli.md show them; a test runs them all, in the order there.

Those that read a store find it by `OPENDATA_STORE`.
"""

EXAMPLES = {
    "scan": (
        "opendata scan s3://openbluebrain --out snapshot.parquet",
        "opendata scan data --base-url https://data.example.org/ --out snapshot.parquet",
    ),
    "hash": (
        "opendata hash snapshot.parquet --dry-run",
        "opendata hash snapshot.parquet --max-bytes 1000000000",
    ),
    "describe": (
        "opendata describe Experimental_Data",
        "opendata describe --init snapshot.parquet > catalogue.yaml",
    ),
    "validate": ("opendata validate snapshot.parquet",),
    "drift": ("opendata drift snapshot.parquet --propose",),
    "build": (
        "opendata build snapshot.parquet --store store --dry-run",
        "opendata build snapshot.parquet --store store",
    ),
    "release": ("opendata release 2026.1.0 --store store --require-grade verifiable",),
    "tree": (
        "opendata tree --depth 1",
        "opendata tree Experimental_Data@2026.1.0",
    ),
    "info": (
        "opendata info Experimental_Data",
        "opendata info Experimental_Data:neuron.swc",
    ),
    "versions": ("opendata versions Experimental_Data",),
    "find": (
        "opendata find Experimental_Data --include '*.swc' --smaller 1.5MB",
        "opendata find snapshot.parquet --sort size --limit 10",
    ),
    "fetch": (
        "opendata fetch Experimental_Data:neuron.swc",
        "opendata fetch Experimental_Data@2026.1.0 --include '*.swc' --to neurons",
    ),
    "registry": ("opendata registry Experimental_Data --include '*.swc' > registry.txt",),
    "cache": (
        "opendata cache",
        "opendata cache prune --older-than 90 --dry-run",
    ),
    "clone": (
        "opendata clone Experimental_Data",
        "opendata clone Experimental_Data@2026.1.0 my-clone --include '*.swc' --get --recursive",
    ),
    "get": ("opendata get Experimental_Data/neuron.swc",),
    "pin": (
        "opendata pin Experimental_Data@2026.1.0 --include '*.swc' --as neurons",
        "opendata pin s3://openbluebrain/Experimental_Data --include '*.swc' --as from-the-bucket",
    ),
    "sync": (
        "opendata sync",
        "opendata sync --from data --to elsewhere",
    ),
    "verify": (
        "opendata verify",
        "opendata verify neurons --against Experimental_Data@2026.1.0 --include '*.swc'",
    ),
    "cite": (
        "opendata cite Experimental_Data@2026.1.0 --format bibtex",
        "opendata cite --lock opendata.lock",
    ),
    "diff": (
        "opendata diff opendata.lock Experimental_Data",
        "opendata diff Experimental_Data@2026.1.0 Experimental_Data --stat",
    ),
    "unpin": ("opendata unpin neurons",),
    "demo": (
        "opendata demo",
        "opendata demo my-demo --serve",
    ),
}
