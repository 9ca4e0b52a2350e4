# The whole of nern from one command. Which cells there are is in nern/matrix.py, their settings in config.yaml.
from snakemake.utils import min_version

min_version("9.20")


configfile: f"{workflow.basedir}/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/originals.smk"
include: "workflow/rules/fits.smk"
include: "workflow/rules/applications.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


# Short jobs that a cluster's queue would cost more than they take.
localrules:
    all,
    demo,
    table,
    figure,
    collect,


rule all:
    input:
        [table_files(name) for name in CONFIG.tables],
        [table_files(name) for name in matrix.COMPUTED_TABLES],
        [table_files(f"{matrix.FRONTIER}{name}") for name in CONFIG.frontiers],
        [figure_files(name) for name in matrix.figure_names(CONFIG)],
        multiext("results/cells", ".csv", ".html"),
    default_target: True


rule demo:
    input:
        lambda wildcards: table_files("digits"),
        lambda wildcards: table_files("frontier_digits"),
        lambda wildcards: figure_files("frontier_digits"),
        multiext("results/cells", ".csv", ".html"),
