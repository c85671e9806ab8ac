# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Flask application that uses what Flask applications use."""

import hashlib
import io

import flask
from gate import Gate

app = flask.Flask(__name__)
app.secret_key = "for a test"


@app.get("/")
def index():
    return f"index of {flask.request.script_root}, user {flask.session.get('user', 'nobody')}"


@app.post("/login")
def login():
    flask.session["user"] = flask.request.form["user"]
    return flask.redirect(flask.url_for("index"))


@app.get("/url")
def url():
    return flask.jsonify(
        external=flask.url_for("item", name="a b", _external=True),
        local=flask.url_for("item", name="é"),
        base=flask.request.base_url,
        full=flask.request.full_path,
        args=flask.request.args.to_dict(flat=False),
        remote=flask.request.remote_addr,
        scheme=flask.request.scheme,
    )


@app.route("/item/<name>", methods=["GET", "PUT", "DELETE"])
def item(name):
    return {"name": name, "method": flask.request.method, "data": flask.request.get_data(as_text=True)}


@app.post("/upload")
def upload():
    file = flask.request.files["file"]
    return {
        "name": file.filename,
        "length": len(data := file.read()),
        "sha256": hashlib.sha256(data).hexdigest(),
        "text": flask.request.form["text"],
    }


@app.post("/json")
def json():
    return {"doubled": [2 * value for value in flask.request.get_json()["values"]]}


@app.get("/stream")
def stream():
    gate = Gate(flask.request.environ)

    @flask.stream_with_context
    def rows():
        for number in range(3):
            gate.wait(f"row {number}")
            yield f"{flask.request.args['word']} {number}\n"
        gate.close()

    return rows(), {"Content-Type": "text/plain"}


@app.get("/file")
def file():
    return flask.send_file(__file__, mimetype="text/x-python", conditional=True)


@app.get("/memory")
def memory():
    return flask.send_file(io.BytesIO(b"m" * 100_000), download_name="m.bin")


@app.get("/cookies")
def cookies():
    response = flask.make_response("two cookies")
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return response


@app.get("/broken")
def broken():
    raise ArithmeticError("in a view")


@app.get("/teapot")
def teapot():
    flask.abort(418)


@app.errorhandler(418)
def handler(error):
    return f"handled {error.code}", 418


@app.get("/log")
def log():
    app.logger.warning("from the application's logger")
    return "logged"
