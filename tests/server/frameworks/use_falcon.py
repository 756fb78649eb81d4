"""A program in Falcon: python use_falcon.py FILE"""

import os
import sys
import time

import falcon
from clients import serve

app = falcon.App()


class Hello:
    def on_get(self, request, response, name):
        response.text = f"hello {name} {request.get_param('q')}"

    def on_head(self, request, response, name):
        self.on_get(request, response, name)


class Form:
    def on_post(self, request, response):
        media = request.get_media()
        if not isinstance(media, falcon.media.multipart.MultipartForm):
            response.text = f"a={media['a']} f=none"
            return
        parts = {part.name: (part.filename, part.get_data()) for part in media}
        name, data = parts["f"]
        response.text = f"a={parts['a'][1].decode()} f={name} {len(data)}"


class Json:
    def on_post(self, request, response):
        response.media = request.get_media()


class Stream:
    def on_get(self, request, response):
        response.stream = (b"part %d\n" % number for number in range(5))


class Count:
    def on_get(self, request, response):
        response.text = str(int(request.cookies.get("n", 0)) + 1)
        response.set_cookie("n", "1", secure=False)


class Redirect:
    def on_get(self, request, response):
        raise falcon.HTTPFound("/hello/x?q=1")


class Error:
    def on_get(self, request, response):
        raise falcon.HTTPInternalServerError


class Download:
    def on_get(self, request, response):
        response.content_type = "application/octet-stream"
        response.set_stream(open(sys.argv[1], "rb"), os.path.getsize(sys.argv[1]))


class Sleep:
    def on_get(self, request, response):
        time.sleep(0.05)
        response.text = "slept"


app.req_options.media_handlers["multipart/form-data"] = falcon.media.MultipartFormHandler(
    parse_options=falcon.media.multipart.MultipartParseOptions()
)
app.req_options.media_handlers["multipart/form-data"].parse_options.max_body_part_buffer_size = 1 << 24
for path, resource in {
    "/hello/{name}": Hello,
    "/form": Form,
    "/json": Json,
    "/stream": Stream,
    "/count": Count,
    "/redirect": Redirect,
    "/error": Error,
    "/download": Download,
    "/sleep": Sleep,
}.items():
    app.add_route(path, resource())

serve(app, sys.argv[1])
