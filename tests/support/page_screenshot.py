"""Takes the picture of the page for the documentation.

genattr serve runs/demo/serving/generator_attribution --ui
python -m tests.support.page_screenshot http://127.0.0.1:8501/ data/demo-images/*/*/000000.png -o docs/pictures/page.png
"""

import argparse
import base64
import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.browser import running_page


def main() -> None:
    """Opens the page, gives it the images, waits for the answers, and writes what is seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of a server that runs with --ui")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true", help="as seen by who prefers dark pages")
    options = parser.parse_args()
    scheme = {"name": "prefers-color-scheme", "value": "dark" if options.dark else "light"}
    with tempfile.TemporaryDirectory() as profile, running_page(Path(profile)) as page:
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.open(options.url, width=options.width, height=options.height)
        page.set_files("#files", [image.resolve() for image in options.images])
        done = f"document.querySelectorAll('.card[data-state=done]').length === {len(options.images)}"
        page.wait_for(done)
        picture = page.call("Page.captureScreenshot", format="png")["data"]
    # 256 colours: a third of the bytes, at the price of bands in smooth ramps such as the legend.
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            options.output, optimize=True
        )


if __name__ == "__main__":
    main()
