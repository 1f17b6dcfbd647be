# The slim image holds Airflow and little else: fewer packages that our pinned ones could contradict.
FROM apache/airflow:slim-3.3.2-python3.11

ENV GX_ANALYTICS_ENABLED=false \
    AIRFLOW__LOGGING__MIN_LENGTH_MASKED_SECRET=2 \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins \
    PYTHONPATH=/opt/airflow

# The image's user is `airflow` already, not root, and stays so.
COPY --chown=airflow:0 requirements.txt /opt/airflow/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /opt/airflow/requirements.txt

COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 dags /opt/airflow/dags
# Volumes take over the owner of the folder that they are mounted on.
RUN mkdir -p /opt/airflow/logs /opt/airflow/sandbox
