# What the paper does with fitted predictors: pruning (figure 5a) and the importance of filters (figure 5b).
rule prune:
    input:
        unpack(fitted_inputs),
    output:
        f"{CELL}/pruning.json",
    params:
        path=lambda wildcards: cell_of(wildcards).path,
        sparsities=lambda wildcards: checked(
            matrix.figure_settings, "meta_compression"
        ).sparsities,
        code=code_digest("nern.stages.prune"),
    log:
        f"logs/{CELL.removeprefix('results/')}/prune.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=60,
    message:
        "Prune {params.path}"
    shell:
        "nern prune {params.path} --threads {threads} > {log} 2>&1"


rule importance:
    input:
        unpack(fitted_inputs),
    output:
        f"{CELL}/importance.json",
    params:
        path=lambda wildcards: cell_of(wildcards).path,
        layer=lambda wildcards: checked(
            matrix.figure_settings, "weight_importance"
        ).layer,
        images=lambda wildcards: checked(
            matrix.figure_settings, "weight_importance"
        ).images,
        code=code_digest("nern.stages.importance"),
    log:
        f"logs/{CELL.removeprefix('results/')}/importance.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=60,
    message:
        "Weigh the filters of {params.path}"
    shell:
        "nern importance {params.path} --threads {threads} > {log} 2>&1"
