-- MLflow's databases beside that of the studies. PostgreSQL's image runs this once, when its volume is new.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_users;
