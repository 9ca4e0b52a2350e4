# Images, original networks, and the order of their kernels.
rule prepare_data:
    output:
        "results/{task}/images/data.json",
    params:
        settings=lambda wildcards: fingerprint(
            checked(resolved.data_settings, wildcards.task)
        ),
        sources=lambda wildcards: checked(contents.present_sources, wildcards.task),
        code=code_digest("nern.stages.prepare_data"),
    resources:
        mem_mb=memory,
        runtime=retried(120),
    log:
        "logs/{task}/prepare_data.log",
    message:
        "Read the images of {wildcards.task}"
    shell:
        "nern prepare-data {wildcards.task} > {log} 2>&1"


rule train_original:
    input:
        lambda wildcards: images_of(wildcards.task),
    output:
        "results/{task}/{network}/originals/{original}/network.safetensors",
        "results/{task}/{network}/originals/{original}/predictions.safetensors",
        "results/{task}/{network}/originals/{original}/metrics.json",
        "results/{task}/{network}/originals/{original}/train.json",
    params:
        path=lambda wildcards: original_of(wildcards).path,
        settings=lambda wildcards: fingerprint(
            checked(resolved.original_settings, original_of(wildcards))
        ),
        weights=lambda wildcards: checked(
            contents.present_weights, original_of(wildcards)
        ),
        made_of=lambda wildcards: made_of(images_of(wildcards.task)),
        code=code_digest("nern.stages.train_original"),
    log:
        "logs/{task}/{network}/originals/{original}/train_original.log",
    threads: THREADS.train_original
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=minutes(requests.original_minutes, original_of),
    priority: 3
    message:
        "Train or import {wildcards.network} on {wildcards.task} ({wildcards.original})"
    shell:
        "nern train-original {params.path} --threads {threads} > {log} 2>&1"


rule permute:
    input:
        "results/{task}/{network}/originals/{original}/network.safetensors",
    output:
        "results/{task}/{network}/originals/{original}/permutation-{mode}.npz",
    params:
        path=lambda wildcards: original_of(wildcards).path,
        settings=lambda wildcards: fingerprint(
            checked(
                resolved.permutation_settings, original_of(wildcards), wildcards.mode
            )
        ),
        made_of=lambda wildcards: made_of(
            f"{original_of(wildcards).path}/network.safetensors"
        ),
        code=code_digest("nern.stages.permute"),
    log:
        "logs/{task}/{network}/originals/{original}/permute-{mode}.log",
    threads: THREADS.permute
    resources:
        mem_mb=4000,
        runtime=retried(60),
    priority: 2
    message:
        "Order the kernels of {wildcards.network} ({wildcards.original}): {wildcards.mode}"
    shell:
        "nern permute {params.path} --mode {wildcards.mode} --threads {threads} > {log} 2>&1"
