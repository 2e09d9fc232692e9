"""The pages of `coset explore` in a real browser: `make test-page` says what that takes."""

import json
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
import torch

from coset.exploring.page import Drawer, describe_run, write_page
from coset.exploring.views import Exploration
from coset.runs import open_run, train_run

selenium = pytest.importorskip("selenium.webdriver", reason="make test-page installs it")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")  # without them it is not collected
pytestmark = pytest.mark.usefixtures("single")
TINY = ["--training.steps=2", "--model.features=8", "--model.hidden=8", "--model.context_dim=2", "--model.z_dim=2"]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "digits"
    train_run("unseen-rotated-digits", folder, TINY)
    return Exploration(open_run(folder))


@contextmanager
def browser(width=1280, height=1600):
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    try:
        yield driver
        assert [each for each in driver.get_log("browser") if each["level"] == "SEVERE"] == []
    finally:
        driver.quit()


def asked_hosts(driver):
    """Addresses that the page asked for, other than what it holds itself."""
    sent = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith(("data:", "file:", "blob:"))]


def until(driver, selector, seconds=30):
    """The elements of a selector once there are some, and the seconds that took."""
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        if found := driver.find_elements(By.CSS_SELECTOR, selector):
            return found, time.perf_counter() - started
        time.sleep(0.02)
    raise AssertionError(f"nothing at {selector} after {seconds} s")


@pytest.mark.parametrize("width", [1280, 500])
def test_the_file_works_by_mouse_and_keyboard_and_asks_nobody(views, tmp_path, width):
    page = write_page(views, tmp_path / "page.html")
    cells = describe_run(views)["grid"]["cells"]
    with browser(width) as driver:
        driver.get(page.as_uri())
        assert len(driver.find_elements(By.CSS_SELECTOR, ".cell")) == 40
        assert len(driver.find_elements(By.CSS_SELECTOR, ".cell.hole")) == 10
        driver.execute_script("arguments[0].click()", driver.find_element(By.CSS_SELECTOR, '[data-at="3,1"]'))
        shown = [
            each.get_attribute("src")
            for each in driver.find_elements(By.CSS_SELECTOR, "#detail .row:nth-of-type(2) img")
        ]
        assert shown == cells[3][1]["composed"]
        driver.find_element(By.CSS_SELECTOR, '[data-at="3,1"]').send_keys(Keys.ARROW_RIGHT)
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert driver.find_element(By.CSS_SELECTOR, "#detail h3").text == "digit 3 × rotation 180"
        before = driver.find_element(By.ID, "under").get_attribute("innerHTML")
        driver.find_element(By.ID, "map").send_keys(Keys.ARROW_RIGHT)
        assert driver.find_element(By.ID, "under").get_attribute("innerHTML") != before
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert asked_hosts(driver) == []


def test_the_file_is_dark_where_the_reader_wants_it(views, tmp_path):
    page = write_page(views, tmp_path / "page.html")
    with browser() as driver:
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        driver.get(page.as_uri())
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in ground.strip("rgb()").split(",")) < 60


@contextmanager
def served(folder):
    """The command in a process of its own, as a user has it; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "coset", "explore", str(folder), "--port", str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            deadline = time.time() + 120
            while time.time() < deadline and process.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def test_the_served_page_composes_what_the_model_does(views):
    pytest.importorskip("gradio", reason="make test-page installs it")
    drawer = Drawer(views.held_out.x(torch.arange(200)).cpu(), ())
    with served(views.run.folder) as address, browser() as driver:
        driver.get(address)
        (button, *_), _ = until(driver, "#compose")
        time.sleep(2)  # until its scripts have run
        button.click()
        _, seconds = until(driver, "#made .tile")
        print(f"a click was answered after {seconds:.2f} s")
        assert seconds < 5  # half a second on a quiet machine
        wait_for(driver, drawer, views, digit=0, rotation=0)
        holes, _ = until(driver, "#grid button.cell.hole")
        assert len(holes) == 10
        driver.execute_script("arguments[0].click()", holes[3])
        wait_for(driver, drawer, views, digit=3, rotation=270)
        points, _ = until(driver, "#map circle")
        driver.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", points[5])
        until(driver, "#picked .tile")
        button.click()
        deadline = time.time() + 20
        while "a set of your own for digit" not in driver.find_element(By.TAG_NAME, "body").text:
            assert time.time() < deadline
            time.sleep(0.1)
        own = (address, address.replace("http", "ws"))
        assert [url for url in asked_hosts(driver) if not url.startswith(own)] == []


def wait_for(driver, drawer, views, **levels):
    """Until the page shows what the model composes of these levels."""
    sets = {name: views.draw_set(name, level) for name, level in levels.items()}
    expected = drawer.draw_all(views.compose(sets, n=8))
    deadline, shown = time.time() + 20, None
    while time.time() < deadline and shown != expected:
        time.sleep(0.1)
        shown = driver.execute_script("return [...document.querySelectorAll('#made .tile')].map((each) => each.src)")
    assert shown == expected


def test_uploaded_sets_are_read_and_wrong_ones_are_refused(views, tmp_path):
    pytest.importorskip("gradio", reason="make test-page installs it")
    import numpy as np
    from PIL import Image

    from coset.errors import DataError
    from coset.exploring.app import Page

    page = Page(views)
    items = np.random.default_rng(0).random((5, 8, 8))
    np.save(tmp_path / "set.npy", items)
    Image.fromarray((255 * items[0]).astype("uint8")).save(tmp_path / "one.png")
    both = page.read_uploads([str(tmp_path / "set.npy"), str(tmp_path / "one.png")])
    assert both.shape == (6, 8, 8) and torch.allclose(both[5], torch.from_numpy(items[0]).float(), atol=1 / 255)
    made = page.compose({"digit": 3, "rotation": 90}, {"digit": [str(tmp_path / "set.npy")]}, {}, n=4, temperature=1.0)
    other = page.compose({"digit": 3, "rotation": 90}, {}, {}, n=4, temperature=1.0)
    assert made.shape == (4, 8, 8) and not torch.equal(made, other)
    np.save(tmp_path / "wrong.npy", np.zeros((2, 9, 9)))
    with pytest.raises(DataError, match=r"expected items of shape \[8, 8\], got \[9, 9\]"):
        page.read_uploads([str(tmp_path / "wrong.npy")])
    (tmp_path / "none.png").write_text("no picture")
    with pytest.raises(DataError, match=r"none.png is no picture that can be read"):
        page.read_uploads([str(tmp_path / "none.png")])
