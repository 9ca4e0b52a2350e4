# Tables, figures and the long CSV.
rule table:
    input:
        lambda wildcards: checked(table_inputs, wildcards.table),
    output:
        report(
            "tables/{table}.html",
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
        multiext("tables/{table}", ".md", ".tex", ".csv"),
    params:
        settings=lambda wildcards: checked(table_fingerprint, wildcards.table),
        made_of=lambda wildcards: made_of(*checked(table_inputs, wildcards.table)),
        code=code_digest("nern.report.tables.write"),
    log:
        "logs/tables/{table}.log",
    message:
        "Write tables/{wildcards.table}"
    shell:
        "nern table {wildcards.table} > {log} 2>&1"


rule figure:
    input:
        lambda wildcards: checked(matrix.figure_inputs, wildcards.figure),
    output:
        report(
            "figures/{figure}.svg",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        multiext("figures/{figure}", ".png", ".csv"),
    params:
        settings=lambda wildcards: checked(figure_fingerprint, wildcards.figure),
        made_of=lambda wildcards: made_of(
            *checked(matrix.figure_inputs, wildcards.figure)
        ),
        code=code_digest("nern.report.figures.write"),
    log:
        "logs/figures/{figure}.log",
    message:
        "Draw figures/{wildcards.figure}"
    shell:
        "nern figure {wildcards.figure} > {log} 2>&1"


rule collect:
    input:
        metrics_of(matrix.all_cells(CONFIG)),
    output:
        "results/cells.csv",
        report(
            "results/cells.html",
            category="Provenance",
            labels={"table": "cells"},
            caption="../report/cells.rst",
        ),
    params:
        made_of=lambda wildcards: made_of(*metrics_of(matrix.all_cells(CONFIG))),
        code=code_digest("nern.report.cells.page"),
    log:
        "logs/collect.log",
    message:
        "Collect all cells in results/cells.csv and on one page"
    shell:
        "nern collect > {log} 2>&1"
