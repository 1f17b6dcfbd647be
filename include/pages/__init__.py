"""The pages that people open inside Airflow, one package each, and their shell. They read and never change anything."""
