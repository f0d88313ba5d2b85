// A list of any length, of which only what is seen is in the document.

const MORE = 6;

export class WindowedList {
  constructor(box, height, draw) {
    this.box = box;
    this.height = height;
    this.draw = draw;
    this.items = [];
    this.space = document.createElement("div");
    this.space.className = "space";
    this.space.setAttribute("role", "presentation");
    box.replaceChildren(this.space);
    this.drawn = new Map();
    box.addEventListener("scroll", () => this.show(), { passive: true });
    new ResizeObserver(() => this.show()).observe(box);
  }

  set(items) {
    this.items = items;
    this.space.style.height = `${items.length * this.height}px`;
    this.show(true);
  }

  get page() { return Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1); }

  get seen() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - MORE);
    const last = Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + MORE;
    return [first, Math.min(this.items.length, last)];
  }

  show(anew = false) {
    const [first, last] = this.seen;
    if (anew) {
      this.drawn.forEach((element) => element.remove());
      this.drawn.clear();
    }
    for (const [index, element] of this.drawn) {
      if (index < first || index >= last) {
        element.remove();
        this.drawn.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) {
      if (this.drawn.has(index)) continue;
      const element = this.draw(this.items[index], index);
      element.style.top = `${index * this.height}px`;
      element.style.height = `${this.height}px`;
      this.space.append(element);
      this.drawn.set(index, element);
    }
    this.onshow?.(this.items.slice(first, last));
  }

  reveal(index) {
    const top = index * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    const under = top + this.height - this.box.clientHeight;
    if (under > this.box.scrollTop) this.box.scrollTop = under;
  }
}
