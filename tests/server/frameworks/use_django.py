"""A program in Django: python use_django.py FILE"""

import json
import sys
import time

import django
from clients import serve
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseServerError,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="of this test",
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    LOGGING_CONFIG=None,
)


def hello(request, name):
    return HttpResponse(f"hello {name} {request.GET['q']}")


def form(request):
    file = request.FILES.get("f")
    return HttpResponse(f"a={request.POST['a']} f={f'{file.name} {len(file.read())}' if file else 'none'}")


def as_json(request):
    return JsonResponse(json.loads(request.body))


def stream(request):
    return StreamingHttpResponse(f"part {number}\n" for number in range(5))


def count(request):
    answer = HttpResponse(str(int(request.COOKIES.get("n", 0)) + 1))
    answer.set_cookie("n", "1")
    return answer


def error(request):
    return HttpResponseServerError("no")


def download(request):
    return FileResponse(open(sys.argv[1], "rb"))


def sleep(request):
    time.sleep(0.05)
    return HttpResponse("slept")


urlpatterns = [
    path("hello/<name>", hello),
    path("form", form),
    path("json", as_json),
    path("stream", stream),
    path("count", count),
    path("redirect", lambda request: redirect("/hello/x?q=1")),
    path("error", error),
    path("download", download),
    path("sleep", sleep),
]
django.setup()
serve(get_wsgi_application(), sys.argv[1])
