# Tables of the cells.
rule table:
    input:
        lambda wildcards: [
            f"{cell.path}/metrics.json"
            for cell in checked(matrix.table_cells, wildcards.table)
        ],
    output:
        multiext("tables/{table}", ".md", ".tex", ".html", ".csv"),
    params:
        settings=lambda wildcards: fingerprint(
            checked(matrix.table_of, wildcards.table)
        ),
    log:
        "logs/tables/{table}.log",
    message:
        "Write tables/{wildcards.table}"
    shell:
        "nern table {wildcards.table} > {log} 2>&1"
