// The graph as an SVG picture, for documents and for paper.

const svgNames = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escapeXML(text) {
  return text.replace(/[&<>"']/g, (c) => svgNames[c]);
}

// svgOf draws the rows of a graph, all of them, as wide as they were laid out.
function svgOf(graph, rows, width, titleOf) {
  const height = rows.length * rowHeight;
  const { palette, found } = graph.look;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12">`,
    `<defs><pattern id="hatched" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V7" stroke="${palette.text}" stroke-opacity="0.2"/></pattern></defs>`,
    `<rect width="100%" height="100%" fill="${palette.dark ? "#18181b" : "#ffffff"}"/>`,
  ];
  rows.forEach((row, r) => {
    for (const cell of row) {
      const { info } = cell.box;
      const { edge } = classes[info.class];
      const y = r * rowHeight;
      const w = Math.max(0.3, cell.width - (cell.width > 3 ? 1 : 0));
      const place = `x="${cell.x.toFixed(2)}" y="${y}" width="${w.toFixed(2)}" height="${rowHeight - 1}"`;
      const line = edge === "dashed" || edge === "dotted" ? ` stroke="${palette.text}" stroke-dasharray="${edge === "dashed" ? "4 3" : "1 3"}" stroke-width="0.7"` : "";
      parts.push(`<g><title>${escapeXML(titleOf(cell.box))}</title><rect ${place} fill="${graph.fill(cell)}"${line}/>`);
      if (edge === "hatched") parts.push(`<rect ${place} fill="url(#hatched)"/>`);
      if (edge === "bar") parts.push(`<rect x="${cell.x.toFixed(2)}" y="${y + rowHeight - 3}" width="${w.toFixed(2)}" height="2" fill="${palette.text}" fill-opacity="0.5"/>`);
      if (cell.width >= labelFrom) {
        const colour = found && found[info.function] ? "#ffffff" : palette.text;
        parts.push(`<text x="${(cell.x + 4).toFixed(2)}" y="${y + 14.5}" fill="${colour}">${escapeXML(graph.fit(info.name, w - 8))}</text>`);
      }
      parts.push("</g>");
    }
  });
  parts.push("</svg>");
  return parts.join("\n");
}
