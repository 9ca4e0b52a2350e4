# What fitted predictors and originals are worth at how many bytes, and the importance of filters (figure 5b).
rule compress_cell:
    input:
        unpack(fitted_inputs),
        predictions=lambda wildcards: f"{checked(resolved.original_of, cell_of(wildcards)).path}/predictions.safetensors",
    output:
        f"{CELL}/compression.json",
        f"{CELL}/compressed.safetensors",
        f"{CELL}/compress.json",
    params:
        path=lambda wildcards: cell_of(wildcards).path,
        settings=lambda wildcards: fingerprint(
            checked(compression.compression_settings, cell_of(wildcards))
        ),
        made_of=lambda wildcards: made_of(*fitted_inputs(wildcards).values()),
        code=code_digest("nern.stages.compress"),
    log:
        f"logs/{CELL.removeprefix('results/')}/compress.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=minutes(requests.compress_minutes, cell_of),
    message:
        "Compress the predictor of {params.path}"
    shell:
        "nern compress {params.path} --threads {threads} > {log} 2>&1"


rule compress_original:
    input:
        lambda wildcards: images_of(wildcards.task),
        "results/{task}/{network}/originals/{original}/network.safetensors",
        "results/{task}/{network}/originals/{original}/predictions.safetensors",
    output:
        "results/{task}/{network}/originals/{original}/compression.json",
        "results/{task}/{network}/originals/{original}/compressed.safetensors",
        "results/{task}/{network}/originals/{original}/compress.json",
    params:
        path=lambda wildcards: original_of(wildcards).path,
        settings=lambda wildcards: fingerprint(
            checked(compression.compression_settings, original_of(wildcards))
        ),
        made_of=lambda wildcards: made_of(
            f"{original_of(wildcards).path}/network.safetensors"
        ),
        code=code_digest("nern.stages.compress"),
    log:
        "logs/{task}/{network}/originals/{original}/compress.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=minutes(requests.compress_minutes, original_of),
    message:
        "Compress the weights of {params.path}"
    shell:
        "nern compress {params.path} --threads {threads} > {log} 2>&1"


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
        made_of=lambda wildcards: made_of(*fitted_inputs(wildcards).values()),
        code=code_digest("nern.stages.importance"),
    log:
        f"logs/{CELL.removeprefix('results/')}/importance.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=retried(60),
    message:
        "Weigh the filters of {params.path}"
    shell:
        "nern importance {params.path} --threads {threads} > {log} 2>&1"
