// What the tests ask a page. Each function returns a list of faults, in words.
window.checks = (() => {
  const words = (element) => element.textContent.trim().replace(/\s+/g, " ").slice(0, 40);
  const named = (element) => {
    const classes = typeof element.className === "string" ? element.className.trim() : "";
    return element.localName + (classes && `.${classes.split(/\s+/).join(".")}`);
  };

  // Open or close everything that a reader can open.
  function setOpen(open) {
    for (const details of document.querySelectorAll("details")) details.open = open;
    for (const box of document.querySelectorAll(".admonition.toggle")) box.classList.toggle("toggle-hidden", !open);
  }

  function seen(element) {
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    const { width, height } = element.getBoundingClientRect();
    return width > 1 && height > 1; // text for screen readers only is clipped to one pixel
  }

  // "rgb(0 0 0 / 50%)" and its relatives as [red, green, blue, alpha]. The canvas knows all of them.
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  function colour(text) {
    if (!colours.has(text)) {
      const numbers = text.match(/^rgba?\(([\d., ]+)\)$/);
      if (numbers) {
        const [r, g, b, a = 1] = numbers[1].split(",").map(Number);
        colours.set(text, [r, g, b, a]);
      } else {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = text;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        colours.set(text, [r, g, b, a / 255]);
      }
    }
    return colours.get(text);
  }
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];

  function luminance([r, g, b]) {
    const linear = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }
  function ratio(one, other) {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }

  // The contrast of each visible text with the colour behind it: 4.5, or 3 for large text (WCAG 2.2, 1.4.3).
  function contrast() {
    const backs = new Map(); // the colour behind the text of an element
    const back = (element) => {
      if (!element) return colour(getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)");
      if (!backs.has(element)) backs.set(element, over(colour(getComputedStyle(element).backgroundColor), back(element.parentElement)));
      return backs.get(element);
    };
    const faults = new Map();
    const done = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (done.has(element) || !node.data.trim()) continue;
      done.add(element);
      if (element.closest("script, style, noscript, svg, option, mjx-container, [aria-hidden=true], :disabled")) continue;
      if (!seen(element)) continue;
      const style = getComputedStyle(element);
      let [r, g, b, alpha] = colour(style.color);
      for (let each = element; each; each = each.parentElement) alpha *= Number(getComputedStyle(each).opacity);
      const behind = back(element);
      const found = ratio(over([r, g, b, alpha], behind), behind);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (found < (large ? 3 : 4.5)) {
        const where = `${named(element.parentElement)} > ${named(element)}`;
        if (!faults.has(where)) faults.set(where, `${found.toFixed(2)} ${style.color} on rgb(${behind.slice(0, 3).map(Math.round)}): "${words(element)}" in ${where}`);
      }
    }
    return [...faults.values()];
  }

  // Whether the part of an element beyond the edge can be reached by scrolling a box around it.
  function scrolls(element) {
    for (let box = element; box && box !== document.body; box = box.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(box).overflowX) && box.scrollWidth > box.clientWidth) return true;
    return false;
  }

  // What the window cuts off: a page that is too wide, and content beyond its edge that no box scrolls to.
  function tooWide() {
    const width = document.documentElement.clientWidth;
    const faults = [];
    if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
    for (const element of document.querySelectorAll(".bd-article *, .bd-header-article *")) {
      const { right, left } = element.getBoundingClientRect();
      if ((right > width + 1 || left < -1) && !element.closest("svg, mjx-container mjx-assistive-mml") && seen(element) && !scrolls(element))
        faults.push(`${named(element)} from ${Math.round(left)} to ${Math.round(right)}`);
    }
    for (const box of document.querySelectorAll(".bd-article :is(.pst-scrollable-table-container, .cell_output, .ledger-scroll)"))
      if (box.scrollWidth > box.clientWidth + 4 && getComputedStyle(box).backgroundImage === "none" && getComputedStyle(box, "::before").content === "none")
        faults.push(`nothing says that ${named(box)} scrolls: "${words(box)}"`);
    return faults.slice(0, 8);
  }

  // What paper cuts off: a figure, a table, code or an equation that is wider than its column.
  function cutInPrint() {
    const article = document.querySelector(".bd-article");
    if (!article) return [];
    const column = article.getBoundingClientRect();
    const faults = [];
    for (const element of article.querySelectorAll("img, svg, table, pre, mjx-container[display=true], .cell_output, .ledger")) {
      if (!seen(element) || element.closest("mjx-assistive-mml")) continue;
      const { left, right } = element.getBoundingClientRect();
      if (right > column.right + 1 || left < column.left - 1) faults.push(`${named(element)}: ${Math.round(right - column.right)} beyond the column, "${words(element)}"`);
      else if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline" && element.clientWidth)
        faults.push(`${named(element)}: ${element.scrollWidth - element.clientWidth} cut off, "${words(element)}"`);
    }
    for (const element of document.querySelectorAll(".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .bd-footer, .prev-next-footer, .toggle-button"))
      if (seen(element)) faults.push(`${named(element)} is printed`);
    for (const details of article.querySelectorAll("details"))
      for (const child of details.children)
        if (child.localName !== "summary" && child.textContent.trim() && !child.checkVisibility()) faults.push(`closed: "${words(details)}"`);
    for (const box of article.querySelectorAll(".admonition"))
      for (const child of box.children)
        if (child.textContent.trim() && !child.matches("button, script, style") && !seen(child)) faults.push(`hidden: "${words(child)}"`);
    for (const link of article.querySelectorAll("a"))
      for (const pseudo of ["::before", "::after"])
        if (/http|\(/.test(getComputedStyle(link, pseudo).content)) faults.push(`the address of "${words(link)}" is printed`);
    return faults;
  }

  // Pictures whose words are missing, or are only the name of a file.
  function wordless() {
    const faults = [];
    for (const image of document.querySelectorAll(".bd-article img")) {
      const alt = image.getAttribute("alt");
      if (alt === null || /\.(svg|png|jpe?g)$/i.test(alt)) faults.push(`alt "${alt}" of ${image.src.slice(-60)}`);
    }
    return faults;
  }

  return { setOpen, contrast, tooWide, cutInPrint, wordless };
})();
