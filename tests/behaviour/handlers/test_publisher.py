# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sites of mod_python's publisher and of its server pages, in httpd in .htaccess, with sessions, forms and who may come."""

import base64
import os
import shutil

import pytest

from harness import places
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork", "nginx", "nginx128")

SHOP = '''
from mod_python import Session, apache, psp, util
import beside

_secret = "never shown"
motto = "a motto"

def index(req):
    return f"<html>shop of {beside.NAME}</html>"

def add(req, item, count="1"):
    session = Session.Session(req)
    session.setdefault("items", []).append(f"{count} {item}")
    session.save()
    util.redirect(req, "cart")

def cart(req):
    return ", ".join(Session.Session(req).get("items", ["empty"]))

def upload(req, picture):
    return f"{picture.filename} {len(picture.value)}"

def nothing(req):
    req.headers_out["X-Seen"] = req.filename

def listed(req):
    return [1, {"two": 3}]

def raises(req):
    raise ValueError("a page that fails")

def template(req):
    return psp.PSP(req, "cart.html", vars={"title": "a <title>"})

class Admin:
    __auth__ = {"eve": "apple"}
    __access__ = ["eve"]
    __auth_realm__ = "the office"
    _hidden = "never shown"
    def users(self, req):
        return "users for " + req.user

admin = Admin()
'''

HTACCESS = "SetHandler mod_python\nPythonHandler mod_python.publisher\n"
# What the same is in nginx.
IN_NGINX = {
    "PythonHandler mod_python.publisher": "gangway_python_handler mod_python.publisher",
    "PythonHandler mod_python.psp": 'gangway_python_handler "mod_python.psp | .psp .psp_"',
}
PAGES = "AddHandler mod_python .psp .psp_\nPythonHandler mod_python.psp\n"


@pytest.fixture
def site(launch, scratch, kind):
    """Starts a server with a folder of files that are a site of its own."""

    def start(files):
        folder, sessions = scratch / "site", scratch / "sessions"
        folder.mkdir()
        sessions.mkdir(mode=0o700)
        if places.AS_ROOT:
            shutil.chown(sessions, places.WORKER_USER)
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

        def configure(site):
            if kind == "apache-prefork":
                site.workers = 3
            site.apache_main = f'PythonAutoReload On\nPythonOption mod_python.session.database_directory "{sessions}"'
            if kind.startswith("nginx"):
                lines = files[".htaccess"].splitlines()
                words = f'"option=mod_python.session.database_directory={sessions}"' + " debug=on" * ("PythonDebug On" in lines)
                site.location("/site/", nginx=f"alias {folder}/;\n" + "".join(f"{IN_NGINX[line]} {words};\n" for line in lines if line in IN_NGINX))
            site.apache_host = f'Alias /site "{folder}"\n<Directory "{folder}">\nAllowOverride FileInfo\nDirectoryIndex disabled\n</Directory>'

        return launch(configure)

    start.folder = scratch / "site"
    return start


@pytest.fixture
def shop(site):
    return site({".htaccess": HTACCESS, "shop.py": SHOP, "beside.py": "NAME = 'eve'\n", "cart.html": "<h1><%= title %></h1>", "_private.py": "def index(req): return 1\n"})


@pytest.mark.servers("apache", "apache-worker", "apache-prefork")
def test_the_length_of_a_page_is_told(shop):
    length = str(len("<html>shop of eve</html>"))
    for method in ("GET", "HEAD"):
        response = shop.request(method, "/site/shop")
        assert (response.status, response.header("Content-Length"), response.header("Transfer-Encoding")) == (200, length, None)


def test_what_functions_answer(shop):
    empty = shop.get("/site/shop/nothing")
    assert (empty.status, empty.body) == (200, b"")
    assert empty.header("X-Seen").endswith("/site/shop.py")
    assert shop.get("/site/shop/listed").body == b"[1, {'two': 3}]"


def test_pages_of_a_site(shop):
    assert shop.get("/site/shop").body == b"<html>shop of eve</html>"
    assert shop.get("/site/shop.py/").header("Content-Type") == "text/html; charset=utf-8"
    plain = shop.get("/site/shop/motto")
    assert (plain.body, plain.header("Content-Type")) == (b"a motto", "text/plain; charset=utf-8")
    template = shop.get("/site/shop/template")
    assert (template.body, template.header("Content-Type")) == (b"<h1>a <title></h1>", "text/html")
    assert shop.get("/site/shop/absent").status == 404
    assert shop.get("/site/absent").status == 404
    assert shop.get("/site/shop/add").status == 400
    refused = shop.request("DELETE", "/site/shop/motto")
    assert refused.status == 405 and {"GET", "HEAD", "POST"} <= set(refused.header("Allow").replace(" ", "").split(","))


def test_a_cart_in_a_session(shop):
    added = shop.post("/site/shop/add", b"item=pears&count=2", headers=[("Content-Type", "application/x-www-form-urlencoded")])
    assert added.status == 302 and added.header("Location") == "cart"
    cookie = [("Cookie", added.header("Set-Cookie").partition(";")[0])]
    assert shop.get("/site/shop/add?item=plums", headers=cookie).status == 302
    assert shop.get("/site/shop/cart", headers=cookie).body == b"2 pears, 1 plums"
    assert shop.get("/site/shop/cart").body == b"empty"


def test_an_upload(shop):
    body = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="../a.png"\r\n\r\n' + b"p" * 100_000 + b"\r\n--x--\r\n"
    response = shop.post("/site/shop/upload", body, headers=[("Content-Type", "multipart/form-data; boundary=x")])
    assert response.body == b"../a.png 100000"


@pytest.mark.parametrize(
    "path",
    [
        "shop/_secret", "shop/%5fsecret", "shop/__builtins__", "shop/apache", "shop/Admin", "shop/Session/FileSession", "shop/motto/upper",
        "shop/index/__globals__", "shop.__doc__", "_private", "_private.py", "%5fprivate", "shop/beside/NAME", "shop/..%2f_private", "shop/%00",
        "..%2fsite%2f_private", ".htaccess", "shop/%252e%252e/_private", "shop/admin%2f_hidden",
    ],
)  # fmt: skip
def test_what_is_never_published(shop, path):
    response = shop.get(f"/site/{path}")
    assert response.status in (400, 403, 404) and b"never shown" not in response.body
    shop.log.allow("publisher: .* is refused")
    shop.log.allow("AH00127|AH00026|AH10244|AH01797|AH00127|AH01630")


def test_who_may_come(shop):
    def ask(user=None, header=None):
        header = header or (user and "Basic " + base64.b64encode(user.encode()).decode())
        return shop.get("/site/shop/admin/users", headers=[("Authorization", header)] if header else [])

    refused = ask()
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, 'Basic realm="the office"')
    assert ask("eve:wrong").status == 401
    assert ask("adam:apple").status == 401
    assert ask(header="Basic !").status == 400
    assert ask("eve:apple").body == b"users for eve"


def test_a_page_that_fails(shop):
    assert shop.get("/site/shop/raises").status == 500
    shop.log.expect("GW0319 PythonHandler .*mod_python.publisher.* raised ValueError: a page that fails at .*shop.py line 30 in raises")


def test_a_changed_module_is_published(shop, site):
    assert shop.get("/site/shop/motto").body == b"a motto"
    (site.folder / "new").write_text(SHOP.replace("a motto", "another"))
    os.replace(site.folder / "new", site.folder / "shop.py")
    wait_until(lambda: shop.get("/site/shop/motto").body == b"another", "the changed module answers")


COUNT = """<html>
<%
session["count"] = session.get("count", 0) + 1
for n in range(session["count"]):
    # This indent will persist
%>
<p><%= n %></p>
<%
# ends
%>
</html>
"""


def test_pages_with_python(site):
    server = site(
        {
            ".htaccess": PAGES,
            "count.psp": COUNT,
            "form.psp": '<%@ include file="head.inc" %><%= form["name"] %>',
            "head.inc": "<% title = 'T' %>[<%= title %>]",
            "go.psp": "<% psp.redirect('count.psp') %>",
        }
    )
    first = server.get("/site/count.psp")
    assert (first.body, first.header("Content-Type")) == (b"<html>\n\n<p>0</p>\n\n</html>\n", "text/html")
    cookie = [("Cookie", first.header("Set-Cookie").partition(";")[0])]
    assert server.get("/site/count.psp", headers=cookie).body.count(b"<p>") == 2
    form = server.get("/site/form.psp?name=%C3%A4")
    assert form.body == "[T]ä".encode() and form.header("Set-Cookie") is None
    go = server.get("/site/go.psp")
    assert go.status == 302 and go.header("Location") == "count.psp"
    assert server.get("/site/absent.psp").status == 404
    assert server.get("/site/count.psp_").status == 404
    (site.folder / "new").write_text("[<% title = 'U' %><%= title %>]")
    os.replace(site.folder / "new", site.folder / "head.inc")
    assert server.get("/site/form.psp?name=x").body == b"[U]x"


def test_errors_of_pages_name_their_line(site):
    server = site(
        {
            ".htaccess": PAGES + "PythonDebug On\n",
            "raises.psp": "one\n<%\nx = 1\n%>\n<%= x / 0 %>\n",
            "wrong.psp": "one\n\n<%\nx = = 1\n%>\n",
            "handled.psp": "<% psp.set_error_page('error.psp') %><%= 1 / 0 %>",
            "error.psp": "handled <%= exception[0].__name__ %>",
        }
    )
    wrong = server.get("/site/wrong.psp")
    assert wrong.status == 500 and b"wrong.psp&quot;, line 4" in wrong.body
    server.log.expect("GW0319 .*SyntaxError: invalid syntax .*wrong.psp, line 4")
    handled = server.get("/site/handled.psp")
    assert handled.body == b"handled ZeroDivisionError"
    server.log.expect("PSP: .*handled.psp raised ZeroDivisionError")
    listing = server.get("/site/raises.psp_")
    assert listing.status == 200 and b"&lt;%= x / 0 %&gt;" in listing.body
    server.get("/site/raises.psp")
    server.log.expect("GW0319 .*ZeroDivisionError: division by zero at .*raises.psp line 5")
