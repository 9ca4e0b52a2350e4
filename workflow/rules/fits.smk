# The cells: fit a predictor, rebuild its network and measure it.
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
            checked(settings_to_fit_by, cell_of(wildcards))
        ),
        made_of=lambda wildcards: made_of(*fit_inputs(wildcards).values()),
        code=code_digest("nern.stages.fit"),
    log:
        f"logs/{CELL.removeprefix('results/')}/fit.log",
    threads: THREADS.fit
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=minutes(requests.fit_minutes, cell_of),
    priority: 1
    message:
        "Fit {params.path}"
    shell:
        "nern fit {params.path} --threads {threads} > {log} 2>&1"


rule evaluate:
    input:
        unpack(fitted_inputs),
    output:
        f"{CELL}/metrics.json",
    params:
        path=lambda wildcards: cell_of(wildcards).path,
        made_of=lambda wildcards: made_of(*fitted_inputs(wildcards).values()),
        code=code_digest("nern.stages.evaluate"),
    log:
        f"logs/{CELL.removeprefix('results/')}/evaluate.log",
    threads: THREADS.evaluate
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=retried(30),
    priority: 4
    message:
        "Evaluate {params.path}"
    shell:
        "nern evaluate {params.path} --threads {threads} > {log} 2>&1"
