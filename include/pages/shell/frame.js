// Inside Airflow the page lives in a sandboxed frame that may neither open tabs, nor leave the frame, nor see Airflow's
// light or dark mode (Airflow 3.3.2: sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"). This asks
// Airflow's own page for all three. Without Airflow around it, the page needs no script.
(() => {
  "use strict";

  const host = hostDocument();
  if (host === null) {
    return;
  }

  const followTheme = () => {
    const isDark = host.documentElement.classList.contains("dark");
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  };
  followTheme();
  new MutationObserver(followTheme).observe(host.documentElement, { attributes: true, attributeFilter: ["class"] });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[target]");
    if (link === null) {
      return;
    }
    event.preventDefault();
    const opener = host.createElement("a");
    opener.href = link.href;
    opener.target = link.target;
    opener.rel = "noopener noreferrer";
    opener.click();
  });

  function hostDocument() {
    try {
      return window.parent === window ? null : window.parent.document;
    } catch {
      return null; // framed by another origin
    }
  }
})();
