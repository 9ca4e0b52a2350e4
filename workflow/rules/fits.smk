# The cells: fit a predictor, rebuild its network and measure it.
CELL = "results/{task}/{network}/{mode}/h{hidden}/{variant}/seed{seed}"


def fit_inputs(wildcards):
    """The images, the original and the permutation of a cell."""
    original = checked(matrix.original_of, cell_of(wildcards))
    return {
        "images": images_of(wildcards.task),
        "network": f"{original.path}/network.safetensors",
        "permutation": original.permutation(wildcards.mode),
    }


rule fit:
    input:
        unpack(fit_inputs),
    output:
        f"{CELL}/predictor.safetensors",
        f"{CELL}/history.csv",
        f"{CELL}/fit.json",
        f"{CELL}/config.json",
    params:
        path=lambda wildcards: cell_of(wildcards).path,
        settings=lambda wildcards: fingerprint(
            checked(matrix.fit_settings, cell_of(wildcards))
        ),
        code=code_digest("nern.stages.fit"),
    log:
        f"logs/{CELL.removeprefix('results/')}/fit.log",
    threads: THREADS.fit
    resources:
        gpu=GPU,
    priority: 1
    message:
        "Fit {params.path}"
    shell:
        "nern fit {params.path} --threads {threads} > {log} 2>&1"


rule evaluate:
    input:
        unpack(fit_inputs),
        predictor=f"{CELL}/predictor.safetensors",
        history=f"{CELL}/history.csv",
        fit=f"{CELL}/fit.json",
    output:
        f"{CELL}/metrics.json",
    params:
        path=lambda wildcards: cell_of(wildcards).path,
        code=code_digest("nern.stages.evaluate"),
    log:
        f"logs/{CELL.removeprefix('results/')}/evaluate.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
    priority: 4
    message:
        "Evaluate {params.path}"
    shell:
        "nern evaluate {params.path} --threads {threads} > {log} 2>&1"
