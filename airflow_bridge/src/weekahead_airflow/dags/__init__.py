"""DAG files; point a DAG bundle of Airflow at this folder."""
