"""The pages that people open inside Airflow: they read, and never change anything."""
