# Two images from one file. `product`, the default, is what runs in production. `sandbox` adds the local Amazon and shop.

# The slim image holds Airflow and little else: fewer packages that our pinned ones could contradict.
FROM apache/airflow:slim-3.3.2-python3.11 AS base

ENV GX_ANALYTICS_ENABLED=false \
    AIRFLOW__LOGGING__MIN_LENGTH_MASKED_SECRET=2 \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins \
    PYTHONPATH=/opt/airflow

# The base image's user is `airflow`, not root; it stays that way.
COPY --chown=airflow:0 requirements.txt /opt/airflow/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /opt/airflow/requirements.txt
# Fails the build if a package of the base image contradicts one of ours.
RUN pip check

FROM base AS sandbox
COPY --chown=airflow:0 local /opt/airflow/local
# A new volume takes the owner of the folder it is mounted on.
RUN mkdir -p /opt/airflow/sandbox

# Last, so that `docker build .` without a target builds it.
FROM base AS product
COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 dags /opt/airflow/dags
RUN mkdir -p /opt/airflow/logs /opt/airflow/exports
