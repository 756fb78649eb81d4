"""What Locust's users do: half of them with requests, half with geventhttpclient."""

from locust import FastHttpUser, HttpUser, constant, task


class Slow(HttpUser):
    wait_time = constant(0.01)

    @task
    def get(self):
        self.client.get("/", name="requests")


class Fast(FastHttpUser):
    wait_time = constant(0.01)

    @task
    def get(self):
        with self.client.get("/", name="geventhttpclient", catch_response=True) as answer:
            if answer.text != "hello":
                answer.failure(f"found {answer.text!r}")
