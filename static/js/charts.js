/*
 * Charts: one place that turns a JSON description into an ECharts picture. Pages write no chart code of their own.
 *
 * THE CONTRACT
 * ------------
 * In a template (see templates/components/chart.html):
 *
 *   {% include "components/chart.html" with id="equity" kind="line" src=url label="Equity of the cohort" %}
 *   which is  <div data-chart="line" data-src="/url.json" aria-label="..."></div>
 *   or, with the figures already in the page:  {{ payload|json_script:"equity-data" }}  and  data-json="equity-data".
 *
 *   data-chart      line | bar | heatmap | gauge | candles | scatter
 *   data-src        a URL that answers the payload as JSON (fetched with the session; HTTP errors show as an error state)
 *   data-json       instead: the id of a <script type="application/json">
 *   data-height     px, default 320 (also by CSS: the element's own height wins when it has one)
 *   data-topic      optional live topic (see live.js): what happens there refetches data-src, bursts joined; the old picture
 *                   stays until the new one is there. With data-live="patch" it is not refetched: messages of the topic whose
 *                   data is {"chart": id, "append"|"patch"|"reload": ...} are applied instead.
 *   data-refresh-on optional name of a DOM event on document (or from HTMX: HX-Trigger) that refetches data-src
 *
 * Every payload:
 *   { "title": str, "unit": UNIT, "as_of": "2026-01-03T00:00:00Z"|null, "synthetic": bool, "empty": str, ...kind }
 *   UNIT   "usd" (any currency code), "frac" (0.012 shows as +1.20%), "share" (0.4 shows as 40.0%, no sign), "bps", "count", ""
 *   retry_ms  ask again after that time: the figures are still being made
 *   null   in any data position is a gap with a reason, never a zero. "empty": what to say when there is nothing to draw.
 *   time   x values are epoch milliseconds UTC. Money may be a number or a decimal string ("1000.12").
 *   tone   "good" | "bad" | "warn" | "muted" | "accent"; colours are never given, they come from the theme.
 *
 * line     { "x": "time"|"value"|"category", "categories": [str] (category only), "x_name": str, "y_name": str,
 *            "series": [ { "id": str, "name": str, "data": [[x, y|null], ...] (category: [y|null, ...]),
 *                          "style": "primary"|"normal"|"muted"|"dashed"|"points" (marks without a line, "tone"), "area": bool, "step": bool,
 *                          "axis": "left"|"right", "unit": UNIT (right axis), "href": url } ],
 *            "marks":  [ { "x": ms, "label": "Day 2", "tone": tone } ]      vertical lines
 *            "levels": [ { "y": number, "label": "Ceiling", "tone": tone } ] horizontal lines
 *            "bands":  [ { "from": ms, "to": ms, "label": str, "tone": tone } ],
 *            "zoom": bool (default: more than 200 points), "log": bool, "zero": bool (axis includes 0),
 *            "reach": bool (axis includes the levels, however far away) }
 *          Thirty series are fine: give the thirty "style": "muted" (thin, out of the legend, named on hover) and the parent "primary".
 * bar      { "categories": [str], "series": [ { "name", "data": [y|null], "stack": str } ], "signed": bool (colour by sign),
 *            "bridge": bool (one series: each bar goes on where the one before ended; the first and the last stand on 0),
 *            "horizontal": bool, "hrefs": [url] }
 * heatmap  { "xs": [label|ms], "x": "category"|"time", "ys": [ { "label": str, "href": url } ], "height": px (as rows come),
 *            "cells": [[xi, yi, value|null, text?], ...], "diverging": bool (centre 0; default true), "min", "max" }
 * gauge    { "value": number|null, "min": 0, "max": 1, "levels": [ { "y": 0.8, "label": "soft", "tone": "warn" } ], "caption": str }
 * candles  { "candles": [[ms, open, high, low, close, volume], ...], "interval_ms": 60000, "whole": bool (all at once, not the last 600),
 *            "markers": [ { "t": ms, "price": number, "side": "buy"|"sell", "label": str, "detail": str, "href": url, "tone": tone } ],
 *            "lines": [ { "name": "SMA 20", "data": [[ms, y|null], ...] } ], "levels": [...] as line }
 *          buy markers point up from below, sell markers point down from above: shape as well as colour.
 * scatter  { "x_name", "y_name", "x_unit": UNIT, "points": [ { "x", "y", "name": str, "href": url, "size": 0..1, "group": str } ],
 *            "diagonal": bool, "levels", "marks" }
 *
 * From script (live.js, pages):
 *   fundopsCharts.append(id, { "series": {"<series id>": [[ms, y], ...]}, "candles": [...], "markers": [...], "as_of": iso })
 *   fundopsCharts.patch(id, { any payload keys })      fundopsCharts.reload(id)      fundopsCharts.mount(rootElement)
 *   A candle with the ms of the last one replaces it. Appended series keep at most 20,000 points.
 *   Live messages come as the DOM event "live:message" on document with detail {type, topic, seq, data}; see onLive below.
 *
 * Styles are set through the CSSOM and tooltips are built as DOM nodes, so that a strict Content-Security-Policy holds.
 */
(function () {
  "use strict";

  const MAX_POINTS = 20000;
  const MAX_TABLE_ROWS = 400;
  const DASH = "—";
  const mounted = new Map(); // element -> { chart, payload, observer }
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  // --- Figures ------------------------------------------------------------------------------------------------
  const number = (value) => (value === null || value === undefined || value === "" ? null : Number(value));
  const grouped = (value, low, high) =>
    value.toLocaleString("en-GB", { minimumFractionDigits: low, maximumFractionDigits: high });

  function figure(raw, unit, short) {
    const value = number(raw);
    if (value === null || Number.isNaN(value)) return DASH;
    const minus = (text) => text.replace("-", "−");
    const sign = (text) => (value > 0 ? "+" + text : minus(text));
    switch (unit) {
      case "frac":
        return sign(grouped(value * 100, short ? 0 : 2, 2)) + "%";
      case "share":
        return minus(grouped(value * 100, short ? 0 : 1, 1)) + "%";
      case "bps":
        return sign(grouped(value, 0, 1)) + " bps";
      case "count":
        return minus(grouped(value, 0, 0));
      case "":
      case undefined:
      case null:
        return minus(value !== 0 && Math.abs(value) < 0.01 ? value.toPrecision(3) : grouped(value, 0, 4));
      default: {
        const size = Math.abs(value);
        if (short) {
          if (size >= 1e6) return minus(grouped(value / 1e6, 0, 2)) + "M";
          if (size >= 1e4) return minus(grouped(value / 1e3, 0, 1)) + "k";
          return minus(grouped(value, 0, size < 10 ? 4 : 2));
        }
        const places = size !== 0 && size < 1 ? 6 : 2;
        return minus(grouped(value, 2, places)) + " " + unit.toUpperCase();
      }
    }
  }

  const two = (n) => String(n).padStart(2, "0");
  function utc(ms, seconds) {
    const d = new Date(Number(ms));
    const clock = two(d.getUTCHours()) + ":" + two(d.getUTCMinutes()) + (seconds ? ":" + two(d.getUTCSeconds()) : "");
    return d.getUTCFullYear() + "-" + two(d.getUTCMonth() + 1) + "-" + two(d.getUTCDate()) + " " + clock + " UTC";
  }
  function axisTime(ms) {
    const d = new Date(Number(ms));
    const midnight = d.getUTCHours() === 0 && d.getUTCMinutes() === 0;
    if (midnight) return two(d.getUTCDate()) + " " + d.toLocaleString("en-GB", { month: "short", timeZone: "UTC" });
    return two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
  }

  // --- Colours, from the theme --------------------------------------------------------------------------------
  function palette() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue("--chart-" + name).trim();
    return {
      text: get("text"), muted: get("muted"), grid: get("grid"), surface: get("surface"), accent: get("accent"),
      good: get("good"), bad: get("bad"), warn: get("warn"), faint: get("faint"), neutral: get("neutral"),
      series: ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"].map(get),
    };
  }
  const toneColour = (colours, tone) =>
    ({ good: colours.good, bad: colours.bad, warn: colours.warn, accent: colours.accent })[tone] || colours.muted;

  // --- Tooltips as DOM: no markup strings, so names from data cannot become markup and no style attribute is written ---
  function tip(title, rows) {
    const box = document.createElement("div");
    box.className = "chart-tip";
    const head = box.appendChild(document.createElement("div"));
    head.className = "chart-tip-title";
    head.textContent = title;
    for (const row of rows) {
      const line = box.appendChild(document.createElement("div"));
      line.className = "chart-tip-row";
      const dot = line.appendChild(document.createElement("i"));
      if (row.colour) dot.style.backgroundColor = row.colour;
      line.appendChild(document.createElement("span")).textContent = row.name;
      line.appendChild(document.createElement("b")).textContent = row.value;
    }
    return box;
  }

  // --- Shared pieces of an option -----------------------------------------------------------------------------
  function base(colours) {
    return {
      animation: !calm.matches,
      animationDuration: 250,
      animationDurationUpdate: 200,
      color: colours.series,
      backgroundColor: "transparent",
      // A canvas font must name its family: "inherit" would void the whole font.
      textStyle: { color: colours.text, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12 },
      grid: { left: 8, right: 24, top: 30, bottom: 8, containLabel: true },
      tooltip: {
        trigger: "axis", confine: true, appendTo: undefined, backgroundColor: colours.surface, borderColor: colours.grid,
        textStyle: { color: colours.text, fontSize: 12 }, padding: 0, extraCssText: "", transitionDuration: 0,
        axisPointer: { lineStyle: { color: colours.muted, type: "dashed" }, crossStyle: { color: colours.muted } },
      },
    };
  }
  function axis(colours, extra) {
    return Object.assign(
      {
        axisLine: { lineStyle: { color: colours.grid } },
        axisTick: { show: false },
        axisLabel: { color: colours.muted, hideOverlap: true, fontSize: 11 },
        splitLine: { lineStyle: { color: colours.grid, width: 1 } },
        nameTextStyle: { color: colours.muted, fontSize: 11 },
      },
      extra,
    );
  }
  const timeAxis = (colours) =>
    axis(colours, { type: "time", splitLine: { show: false }, axisLabel: { color: colours.muted, hideOverlap: true, fontSize: 11, alignMinLabel: "left", alignMaxLabel: "right", formatter: axisTime } });
  const valueAxis = (colours, unit, extra) =>
    axis(colours, Object.assign({ type: "value", scale: true, axisLabel: { color: colours.muted, fontSize: 11, hideOverlap: true, formatter: (v) => figure(v, unit, true) } }, extra));

  // The label of a vertical line is left out where it would run into the one before it.
  function guides(colours, payload, vertical, width) {
    // Points are pairs on a time or value axis, and bare values on a category axis, which has no marks to crowd.
    const xs = (payload.series || []).flatMap((s) => [s.data[0], s.data[s.data.length - 1]]).filter(Array.isArray).map((p) => p[0]);
    const scale = (width || 800) / (Math.max(...xs) - Math.min(...xs) || 1);
    let labelled = -Infinity;
    const lines = (payload.levels || []).map((level) => ({
      [vertical === "swap" ? "xAxis" : "yAxis"]: number(level.y), name: level.label,
      lineStyle: { color: toneColour(colours, level.tone), type: "dashed", width: 1 },
      label: { formatter: level.label || "", color: toneColour(colours, level.tone), position: "insideEndTop", fontSize: 11 },
    }));
    for (const mark of payload.marks || []) {
      const room = (mark.x - labelled) * scale >= 8 + 7 * (mark.label || "").length;
      if (room) labelled = mark.x;
      lines.push({
        xAxis: mark.x, name: mark.label, lineStyle: { color: toneColour(colours, mark.tone), type: "dotted", width: 1 },
        label: { show: room, formatter: mark.label || "", color: colours.muted, position: "insideEndTop", rotate: 0, fontSize: 11, align: "left", padding: [0, 0, 0, 4] },
      });
    }
    return lines.length ? { silent: true, symbol: "none", animation: false, data: lines } : undefined;
  }
  const zoomers = (colours) => [
    { type: "inside", filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false },
    {
      type: "slider", height: 8, bottom: 6, filterMode: "none", brushSelect: false, showDetail: false, borderColor: "transparent", borderRadius: 4,
      backgroundColor: "transparent", fillerColor: colours.faint, handleSize: 16, handleStyle: { color: colours.surface, borderColor: colours.muted },
      moveHandleSize: 0, dataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } },
      selectedDataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } },
    },
  ];

  // A waterfall: what each step adds to or takes from the total before it.
  function bridge(colours, series) {
    const values = series.data.map(number);
    let total = 0;
    const data = values.map((step, i) => {
      const from = i === values.length - 1 ? 0 : total;
      total = from + step;
      return { value: [i, from, total, step], itemStyle: { color: step < 0 ? colours.bad : colours.good } };
    });
    return {
      name: series.name, type: "custom", data, encode: { x: 0, y: [1, 2] },
      renderItem(params, api) {
        const [x, from] = api.coord([api.value(0), api.value(1)]);
        const to = api.coord([api.value(0), api.value(2)])[1];
        const width = Math.min(28, api.size([1, 0])[0] * 0.6);
        return { type: "rect", shape: { x: x - width / 2, y: Math.min(from, to), width, height: Math.max(1, Math.abs(to - from)) }, style: { fill: api.visual("color") } };
      },
    };
  }

  // --- Builders: payload -> option ----------------------------------------------------------------------------
  const builders = {
    line(payload, colours, width) {
      const category = payload.x === "category";
      const time = !category && payload.x !== "value";
      const series = payload.series || [];
      const points = Math.max(0, ...series.map((s) => s.data.length));
      const zoom = payload.zoom === undefined ? points > 200 : payload.zoom;
      const named = series.filter((s) => s.style !== "muted");
      const right = series.find((s) => s.axis === "right");
      const option = base(colours);
      const unitOf = (s) => (s.axis === "right" && s.unit !== undefined ? s.unit : payload.unit);
      option.tooltip.formatter = (items) => {
        const list = Array.isArray(items) ? items : [items];
        if (!list.length) return "";
        const x = category ? list[0].axisValueLabel : time ? utc(list[0].axisValue) : figure(list[0].axisValue, payload.x_unit);
        const rows = list
          .map((item) => ({ item, s: series[item.seriesIndex] }))
          .filter(({ s }) => s)
          .sort((a, b) => (a.s.style === "muted") - (b.s.style === "muted"))
          .slice(0, 12)
          .map(({ item, s }) => ({ name: s.name, colour: item.color, value: figure(category ? item.value : item.value[1], unitOf(s)) }));
        if (list.length > 12) rows.push({ name: "and " + (list.length - 12) + " more", value: "" });
        return tip(x, rows);
      };
      option.legend = { show: named.length > 1, top: 0, left: 0, type: "scroll", icon: "roundRect", itemWidth: 14, itemHeight: 3,
        textStyle: { color: colours.text, fontSize: 12 }, inactiveColor: colours.muted, data: named.map((s) => s.name), pageTextStyle: { color: colours.muted }, pageIconColor: colours.text };
      option.grid.top = named.length > 1 ? 34 : 14;
      option.grid.bottom = zoom ? 30 : 8;
      option.xAxis = time ? timeAxis(colours) : category
        ? axis(colours, { type: "category", data: payload.categories || [], splitLine: { show: false }, boundaryGap: false })
        : valueAxis(colours, payload.x_unit, { name: payload.x_name, nameLocation: "middle", nameGap: 24, splitLine: { show: false } });
      if (!time && !category && payload.x_name) option.grid.bottom += 18;
      const left = valueAxis(colours, payload.unit, { name: payload.y_name, scale: !payload.zero });
      if (payload.reach) {
        const reached = (payload.levels || []).map((level) => number(level.y)).concat(payload.zero ? [0] : []);
        left.min = (range) => Math.min(range.min, ...reached);
        left.max = (range) => Math.max(range.max, ...reached);
      }
      if (payload.log) left.type = "log";
      option.yAxis = right ? [left, valueAxis(colours, unitOf(right), { splitLine: { show: false } })] : left;
      if (zoom) option.dataZoom = zoomers(colours);
      let colourIndex = 0;
      option.series = series.map((s, i) => {
        const muted = s.style === "muted";
        const dots = s.style === "points";
        const colour = s.tone ? toneColour(colours, s.tone) : s.style === "primary" ? colours.accent : muted ? colours.neutral : colours.series[(colourIndex++ + 1) % colours.series.length];
        return {
          id: s.id || s.name, name: s.name, type: "line", showSymbol: dots, symbol: dots ? "diamond" : "emptyCircle", symbolSize: dots ? 9 : 5, yAxisIndex: s.axis === "right" ? 1 : 0,
          data: s.data.map((p) => (category ? number(p) : [p[0], number(p[1])])), step: s.step ? "end" : false, connectNulls: false,
          lineStyle: { color: colour, width: dots ? 0 : s.style === "primary" ? 2.25 : muted ? 1 : 1.5, opacity: muted ? 0.75 : 1, type: s.style === "dashed" ? "dashed" : "solid" },
          itemStyle: { color: colour }, z: dots ? 6 : s.style === "primary" ? 5 : muted ? 1 : 3, sampling: dots ? undefined : "lttb",
          areaStyle: s.area ? { color: colour, opacity: 0.1 } : undefined,
          emphasis: { focus: series.length > 3 ? "series" : "none", lineStyle: { width: 2.5 } },
          markLine: i === 0 ? guides(colours, payload, "", width) : undefined,
          markArea: i === 0 && (payload.bands || []).length ? {
            silent: true, data: payload.bands.map((b) => [
              { xAxis: b.from, name: b.label, itemStyle: { color: toneColour(colours, b.tone), opacity: 0.08 }, label: { color: colours.muted, fontSize: 11 } },
              { xAxis: b.to }]),
          } : undefined,
        };
      });
      return option;
    },

    bar(payload, colours) {
      const option = base(colours);
      const series = payload.series || [];
      option.tooltip.axisPointer = { type: "shadow", shadowStyle: { color: colours.faint } };
      option.tooltip.formatter = (items) => tip(items[0].axisValueLabel, items.map((item) => ({ name: item.seriesName, colour: item.color, value: figure(item.value, payload.unit) })));
      option.legend = { show: series.length > 1, top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, textStyle: { color: colours.text } };
      option.grid.top = series.length > 1 ? 34 : 14;
      const names = axis(colours, { type: "category", data: payload.categories || [], splitLine: { show: false }, inverse: Boolean(payload.horizontal) });
      const values = valueAxis(colours, payload.unit, { scale: false });
      option.xAxis = payload.horizontal ? values : names;
      option.yAxis = payload.horizontal ? names : values;
      if (payload.bridge) {
        option.series = [bridge(colours, series[0] || { data: [] })];
        option.tooltip.formatter = (items) => tip(items[0].axisValueLabel, items.map((item) => ({ name: item.seriesName, colour: item.color, value: figure(item.value[3], payload.unit) })));
        return option;
      }
      option.series = series.map((s, i) => ({
        name: s.name, type: "bar", stack: s.stack, barMaxWidth: 28,
        data: s.data.map((v) => ({ value: number(v), itemStyle: payload.signed ? { color: number(v) < 0 ? colours.bad : colours.good } : { color: series.length === 1 ? colours.accent : colours.series[i % colours.series.length] } })),
        markLine: i === 0 ? guides(colours, payload, payload.horizontal ? "swap" : "") : undefined,
      }));
      return option;
    },

    heatmap(payload, colours) {
      const option = base(colours);
      const ys = payload.ys || [];
      const time = payload.x === "time";
      const cells = (payload.cells || []).filter((c) => number(c[2]) !== null);
      const values = cells.map((c) => number(c[2]));
      const diverging = payload.diverging !== false;
      let low = payload.min !== undefined ? number(payload.min) : values.reduce((a, b) => Math.min(a, b), 0);
      let high = payload.max !== undefined ? number(payload.max) : values.reduce((a, b) => Math.max(a, b), 0);
      if (diverging) { high = Math.max(Math.abs(low), Math.abs(high)) || 1; low = -high; }
      const xName = (i) => (time ? utc(payload.xs[i]) : String(payload.xs[i]));
      option.tooltip.trigger = "item";
      option.tooltip.formatter = (item) => tip((ys[item.value[1]] || {}).label + " · " + xName(item.value[0]), [{ name: payload.title || "Value", colour: item.color, value: figure(item.value[2], payload.unit) }].concat(item.data.note ? [{ name: String(item.data.note), value: "" }] : []));
      option.grid = { left: 8, right: 8, top: 8, bottom: 44, containLabel: true };
      option.xAxis = axis(colours, { type: "category", data: (payload.xs || []).map((x) => (time ? axisTime(x) : x)), splitLine: { show: false }, splitArea: { show: false } });
      option.yAxis = axis(colours, { type: "category", data: ys.map((y) => y.label), inverse: true, splitLine: { show: false }, axisLabel: { color: colours.muted, fontSize: 11, interval: ys.length > 60 ? "auto" : 0 } });
      option.visualMap = {
        dimension: 2, min: low, max: high, calculable: false, orient: "horizontal", left: "center", bottom: 2, itemHeight: 120, itemWidth: 10, precision: 4,
        text: [figure(high, payload.unit), figure(low, payload.unit)], textStyle: { color: colours.muted, fontSize: 11 }, formatter: (v) => figure(v, payload.unit),
        inRange: { color: diverging ? [colours.bad, colours.faint, colours.good] : [colours.faint, colours.accent] },
      };
      option.series = [{ type: "heatmap", data: cells.map((c) => ({ value: [c[0], c[1], number(c[2])], note: c[3] })), itemStyle: { borderColor: colours.surface, borderWidth: 1 }, emphasis: { itemStyle: { borderColor: colours.text, borderWidth: 1 } } }];
      return option;
    },

    gauge(payload, colours) {
      const option = base(colours);
      const low = number(payload.min) || 0;
      const high = payload.max === undefined ? 1 : number(payload.max);
      const value = number(payload.value);
      const levels = (payload.levels || []).slice().sort((a, b) => a.y - b.y);
      const passed = levels.filter((level) => value !== null && value >= number(level.y)).pop();
      const colour = passed ? toneColour(colours, passed.tone || "warn") : colours.accent;
      delete option.tooltip;
      delete option.grid;
      const clamp = (x) => Math.min(1, Math.max(0, (x - low) / (high - low || 1)));
      const stops = levels.flatMap((level) => [[Math.max(0, clamp(number(level.y)) - 0.004), colours.faint], [clamp(number(level.y)) + 0.004, toneColour(colours, level.tone || "warn")]]);
      option.series = [{
        type: "gauge", min: low, max: high, startAngle: 205, endAngle: -25, radius: "96%", center: ["50%", "54%"],
        axisLine: { lineStyle: { width: 14, color: stops.concat([[1, colours.faint]]) }, roundCap: false },
        progress: { show: value !== null, width: 14, itemStyle: { color: colour }, clip: true },
        pointer: { show: false }, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { show: false }, anchor: { show: false },
        title: { show: Boolean(payload.caption), offsetCenter: [0, "72%"], color: colours.muted, fontSize: 12 },
        detail: { offsetCenter: [0, "0%"], color: colours.text, fontSize: 26, fontWeight: 600, formatter: () => (value === null ? DASH : figure(value, payload.unit)) },
        data: [{ value: value === null ? low : Math.min(high, Math.max(low, value)), name: payload.caption || "" }],
      }];
      return option;
    },

    candles(payload, colours) {
      const option = base(colours);
      const candles = payload.candles || [];
      const markers = payload.markers || [];
      const hasVolume = candles.some((c) => c.length > 5 && number(c[5]) !== null);
      option.tooltip.axisPointer = { type: "cross", lineStyle: { color: colours.muted }, label: { backgroundColor: colours.muted, formatter: (p) => (p.axisDimension === "x" ? utc(p.value) : figure(p.value, "")) } };
      option.tooltip.formatter = (items) => {
        const list = Array.isArray(items) ? items : [items];
        if (!list.length) return "";
        const marked = list.find((item) => item.seriesType === "scatter");
        const rows = [];
        for (const item of list) {
          if (item.seriesType === "candlestick") {
            const [, open, close, low, high] = item.value;
            rows.push(...[["Open", open], ["High", high], ["Low", low], ["Close", close]].map(([name, v]) => ({ name, value: figure(v, payload.unit) })));
          } else if (item.seriesName === "Volume") rows.push({ name: "Volume", value: figure(item.value[1], "") });
          else if (item.seriesType === "line") rows.push({ name: item.seriesName, colour: item.color, value: figure(item.value[1], payload.unit) });
          else if (item.seriesType === "scatter") {
            const m = item.data.marker;
            rows.push({ name: (m.side === "buy" ? "▲ Buy " : "▼ Sell ") + (m.label || ""), colour: item.color, value: figure(m.price, payload.unit) });
            if (m.detail) rows.push({ name: m.detail, value: "" });
          }
        }
        return tip(utc(marked ? marked.data.marker.t : list[0].axisValue), rows);
      };
      option.grid = hasVolume
        ? [{ left: 62, right: 14, top: 14, height: "62%" }, { left: 62, right: 14, top: "76%", bottom: 38 }]
        : [{ left: 62, right: 14, top: 14, bottom: 38 }];
      option.axisPointer = { link: [{ xAxisIndex: "all" }] };
      option.xAxis = option.grid.map((_, i) => Object.assign(timeAxis(colours), { gridIndex: i, min: "dataMin", max: "dataMax" }, hasVolume && i === 0 ? { axisLabel: { show: false } } : {}));
      option.yAxis = option.grid.map((_, i) => valueAxis(colours, i ? "" : payload.unit, Object.assign({ gridIndex: i }, i ? { splitNumber: 2, scale: false, splitLine: { show: false }, axisLabel: { show: false } } : {})));
      const start = candles.length > 600 && !payload.whole ? 100 - (60000 / candles.length) : 0;
      option.dataZoom = zoomers(colours).map((z) => Object.assign(z, { xAxisIndex: option.grid.map((_, i) => i), start, end: 100 }));
      const pick = (side) => ({
        id: side, name: side === "buy" ? "Buys" : "Sells", type: "scatter", symbol: "triangle", symbolRotate: side === "buy" ? 0 : 180, symbolSize: 11, z: 10,
        symbolOffset: [0, side === "buy" ? 9 : -9], itemStyle: { color: side === "buy" ? colours.good : colours.bad, borderColor: colours.surface, borderWidth: 1 },
        data: markers.filter((m) => m.side === side).map((m) => ({ value: [m.t, number(m.price)], marker: m, itemStyle: m.tone ? { color: toneColour(colours, m.tone) } : undefined })),
      });
      option.series = [
        { id: "candles", name: "Price", type: "candlestick", data: candles.map((c) => [c[0], number(c[1]), number(c[4]), number(c[3]), number(c[2])]),
          // A rising candle is hollow, a falling one filled: the sign is told by shape too.
          itemStyle: { color: "transparent", color0: colours.bad, borderColor: colours.good, borderColor0: colours.bad }, barMaxWidth: 12,
          encode: { x: 0, y: [1, 2, 3, 4] }, markLine: guides(colours, payload) },
        ...(payload.lines || []).map((l, i) => ({ name: l.name, type: "line", showSymbol: false, data: l.data.map((p) => [p[0], number(p[1])]), lineStyle: { width: 1.25, color: colours.series[(i + 1) % 8] }, itemStyle: { color: colours.series[(i + 1) % 8] } })),
        pick("buy"), pick("sell"),
      ];
      if (hasVolume) option.series.push({ id: "volume", name: "Volume", type: "bar", xAxisIndex: 1, yAxisIndex: 1, barMaxWidth: 10, itemStyle: { color: colours.neutral }, data: candles.map((c) => [c[0], number(c[5])]) });
      return option;
    },

    scatter(payload, colours) {
      const option = base(colours);
      const points = payload.points || [];
      const groups = [...new Set(points.map((p) => p.group || ""))];
      option.tooltip.trigger = "item";
      option.tooltip.formatter = (item) => tip(item.data.point.name, [
        { name: payload.x_name || "x", value: figure(item.data.point.x, payload.x_unit) },
        { name: payload.y_name || "y", value: figure(item.data.point.y, payload.unit) }]);
      option.legend = { show: groups.length > 1, top: 0, right: 8, itemWidth: 9, itemHeight: 9, textStyle: { color: colours.text } };
      option.grid.top = 34;
      option.grid.bottom = 24;
      option.xAxis = valueAxis(colours, payload.x_unit, { name: payload.x_name, nameLocation: "middle", nameGap: 26 });
      option.yAxis = valueAxis(colours, payload.unit, { name: payload.y_name, nameTextStyle: { color: colours.muted, align: "left" } });
      const symbols = ["circle", "diamond", "triangle", "rect", "roundRect", "pin"];
      option.series = groups.map((group, i) => ({
        name: group || payload.title, type: "scatter", symbol: symbols[i % symbols.length], itemStyle: { color: groups.length > 1 ? colours.series[i % 8] : colours.accent, opacity: 0.8 },
        data: points.filter((p) => (p.group || "") === group && number(p.x) !== null && number(p.y) !== null).map((p) => ({ value: [number(p.x), number(p.y)], point: p, symbolSize: 8 + 16 * Math.sqrt(p.size || 0) })),
        markLine: i === 0 ? guides(colours, payload) : undefined,
      }));
      return option;
    },
  };

  // --- Empty, and the figures as a table ----------------------------------------------------------------------
  function isEmpty(kind, p) {
    if (kind === "gauge") return number(p.value) === null;
    if (kind === "candles") return !(p.candles || []).length;
    if (kind === "scatter") return !(p.points || []).length;
    if (kind === "heatmap") return !(p.cells || []).some((c) => number(c[2]) !== null);
    return !(p.series || []).some((s) => (s.data || []).length);
  }

  function rowsOf(kind, p) {
    const time = (x) => (p.x === "category" ? x : p.x === "value" ? figure(x, p.x_unit) : utc(x));
    if (kind === "gauge") return [["Value"], [[figure(p.value, p.unit)]]];
    if (kind === "candles") return [["Time", "Open", "High", "Low", "Close", "Volume"], (p.candles || []).map((c) => [utc(c[0]), ...c.slice(1).map((v) => figure(v, ""))])];
    if (kind === "scatter") return [["Name", p.x_name || "x", p.y_name || "y"], (p.points || []).map((q) => [q.name, figure(q.x, p.x_unit), figure(q.y, p.unit)])];
    if (kind === "heatmap") return [["Row", "Column", p.title || "Value"], (p.cells || []).map((c) => [(p.ys[c[1]] || {}).label, p.x === "time" ? utc(p.xs[c[0]]) : p.xs[c[0]], figure(c[2], p.unit)])];
    const series = p.series || [];
    if (kind === "bar" || p.x === "category")
      return [["", ...series.map((s) => s.name)], (p.categories || []).map((name, i) => [name, ...series.map((s) => figure(s.data[i], p.unit))])];
    if (series.length > 6) return [["Series", "Points", "First", "Last"], series.map((s) => [s.name, String(s.data.length), s.data.length ? figure(s.data[0][1], p.unit) : DASH, s.data.length ? figure(s.data[s.data.length - 1][1], p.unit) : DASH])];
    const xs = [...new Set(series.flatMap((s) => s.data.map((d) => d[0])))].sort((a, b) => a - b);
    const maps = series.map((s) => new Map(s.data.map((d) => [d[0], d[1]])));
    return [["Time", ...series.map((s) => s.name)], xs.map((x) => [time(x), ...maps.map((m) => (m.has(x) ? figure(m.get(x), p.unit) : DASH))])];
  }

  function fillTable(details, entry) {
    const [head, rows] = rowsOf(entry.kind, entry.payload || {});
    const table = document.createElement("table");
    table.className = "table table-sm fo-table";
    const cells = (parent, tag, values) => {
      const tr = parent.appendChild(document.createElement("tr"));
      values.forEach((v, i) => { const c = tr.appendChild(document.createElement(tag)); c.textContent = v === undefined ? DASH : v; if (i) c.className = "num"; });
    };
    cells(table.appendChild(document.createElement("thead")), "th", head);
    const body = table.appendChild(document.createElement("tbody"));
    for (const row of rows.slice(-MAX_TABLE_ROWS)) cells(body, "td", row);
    const box = details.querySelector(".chart-data-body");
    box.replaceChildren(table);
    if (rows.length > MAX_TABLE_ROWS) box.prepend(Object.assign(document.createElement("p"), { className: "text-secondary small", textContent: "The last " + MAX_TABLE_ROWS + " of " + rows.length + " rows." }));
  }

  // --- Mounting -----------------------------------------------------------------------------------------------
  function state(element, name, text) {
    element.dataset.chartState = name;
    let note = element.querySelector(":scope > .chart-note");
    if (!note) { note = document.createElement("div"); note.className = "chart-note"; note.setAttribute("role", "status"); element.appendChild(note); }
    note.textContent = text || "";
  }

  function draw(element) {
    const entry = mounted.get(element);
    if (!entry || !entry.payload) return;
    const payload = entry.payload;
    element.classList.toggle("is-synthetic", Boolean(payload.synthetic));
    if (payload.height && element.style.height !== payload.height + "px") {
      element.style.height = payload.height + "px";
      if (entry.chart) entry.chart.resize();
    }
    if (isEmpty(entry.kind, payload)) {
      state(element, "empty", payload.empty || "Nothing to show yet.");
      if (entry.chart) entry.chart.clear();
      return;
    }
    state(element, "ready", "");
    if (!entry.chart) {
      entry.chart = window.echarts.init(entry.canvas, null, { renderer: "canvas" });
      entry.chart.on("click", (event) => { const href = linkOf(entry, event); if (href) window.location.assign(href); });
    }
    entry.chart.setOption(builders[entry.kind](payload, palette(), entry.canvas.clientWidth), { notMerge: !entry.drawn, replaceMerge: entry.drawn ? ["series"] : undefined, lazyUpdate: false });
    entry.drawn = true;
    const details = element.parentElement && element.parentElement.querySelector("details.chart-data");
    if (details && details.open) fillTable(details, entry);
  }

  function linkOf(entry, event) {
    const p = entry.payload;
    if (entry.kind === "line") return ((p.series || [])[event.seriesIndex] || {}).href;
    if (entry.kind === "bar") return (p.hrefs || [])[event.dataIndex];
    if (entry.kind === "heatmap") return ((p.ys || [])[event.value && event.value[1]] || {}).href;
    if (event.data && event.data.marker) return event.data.marker.href;
    if (event.data && event.data.point) return event.data.point.href;
    return null;
  }

  // A refusal comes as problem+json, whose detail tells a person what to do.
  async function reason(response) {
    if ((response.headers.get("Content-Type") || "").includes("json")) {
      try { return (await response.json()).detail; } catch (_) { /* say the general thing */ }
    }
    return "The figures could not be read (" + response.status + "). Reload the page to try again.";
  }

  async function load(element) {
    const entry = mounted.get(element);
    const { src, json } = element.dataset;
    try {
      if (json) entry.payload = JSON.parse(document.getElementById(json).textContent);
      else if (src) {
        if (!entry.payload) state(element, "loading", "Loading…");
        const response = await fetch(src, { headers: { Accept: "application/json" }, credentials: "same-origin" });
        if (!response.ok) throw new Error(await reason(response));
        entry.payload = await response.json();
      } else return;
    } catch (error) {
      state(element, "error", error instanceof TypeError ? "The figures could not be read: no connection." : error.message);
      return;
    }
    if (mounted.get(element) !== entry) return;
    draw(element);
    if (entry.payload.retry_ms) setTimeout(() => { if (mounted.get(element) === entry) load(element); }, entry.payload.retry_ms);
  }

  function mountOne(element) {
    if (mounted.has(element)) return;
    const kind = element.dataset.chart;
    if (!builders[kind]) { state(element, "error", "Unknown chart '" + kind + "'."); return; }
    if (element.dataset.height) element.style.height = element.dataset.height + "px";
    element.setAttribute("role", "img");
    const canvas = document.createElement("div");
    canvas.className = "chart-canvas";
    element.appendChild(canvas);
    const entry = { kind, canvas, chart: null, payload: null, drawn: false };
    entry.observer = new ResizeObserver(() => { if (entry.chart) entry.chart.resize(); });
    entry.observer.observe(element);
    mounted.set(element, entry);
    const details = element.parentElement && element.parentElement.querySelector("details.chart-data");
    if (details) details.addEventListener("toggle", () => { if (details.open) fillTable(details, entry); });
    if (element.dataset.src && element.dataset.live !== "patch") element.addEventListener("live", () => load(element));
    if (element.dataset.refreshOn) document.addEventListener(element.dataset.refreshOn, () => { if (element.isConnected) load(element); });
    load(element);
  }

  function mount(root) {
    if (root.matches && root.matches("[data-chart]")) mountOne(root);
    (root.querySelectorAll ? root : document).querySelectorAll("[data-chart]").forEach(mountOne);
  }
  function unmount(root) {
    for (const [element, entry] of mounted) {
      if (element.isConnected && root !== element && !(root.contains && root.contains(element))) continue;
      entry.observer.disconnect();
      if (entry.chart) entry.chart.dispose();
      mounted.delete(element);
    }
  }
  const find = (id) => { const element = document.getElementById(id); return element && mounted.has(element) ? element : null; };

  // --- Live ---------------------------------------------------------------------------------------------------
  function append(id, more) {
    const element = find(id);
    if (!element) return;
    const payload = mounted.get(element).payload;
    if (!payload) return;
    for (const [key, points] of Object.entries(more.series || {})) {
      const series = (payload.series || []).find((s) => (s.id || s.name) === key);
      if (!series) continue;
      for (const point of points) {
        const last = series.data[series.data.length - 1];
        if (last && last[0] === point[0]) series.data[series.data.length - 1] = point;
        else if (!last || point[0] > last[0]) series.data.push(point);
      }
      if (series.data.length > MAX_POINTS) series.data.splice(0, series.data.length - MAX_POINTS);
    }
    for (const candle of more.candles || []) {
      const list = (payload.candles = payload.candles || []);
      const last = list[list.length - 1];
      if (last && last[0] === candle[0]) list[list.length - 1] = candle;
      else if (!last || candle[0] > last[0]) list.push(candle);
      if (list.length > MAX_POINTS) list.shift();
    }
    if (more.markers) payload.markers = (payload.markers || []).concat(more.markers);
    if (more.as_of) payload.as_of = more.as_of;
    later(element);
  }
  function patch(id, change) {
    const element = find(id);
    if (!element) return;
    const entry = mounted.get(element);
    entry.payload = Object.assign(entry.payload || {}, change);
    later(element);
  }
  function reload(id) { const element = find(id); if (element) load(element); }

  // Many messages within one frame draw once.
  const due = new Set();
  function later(element) {
    if (!due.size) requestAnimationFrame(() => { const now = [...due]; due.clear(); now.forEach(draw); });
    due.add(element);
  }

  // A message for one chart by its id; without a chart in it, the event "live" on the element refetches (mountOne).
  function onLive(event) {
    const { topic, data } = event.detail || {};
    if (!data || !data.chart) return;
    const element = find(data.chart);
    if (!element || (element.dataset.topic && element.dataset.topic !== topic)) return;
    if (data.append) append(data.chart, data.append);
    if (data.patch) patch(data.chart, data.patch);
    if (data.reload) reload(data.chart);
  }

  document.addEventListener("live:message", onLive);
  document.addEventListener("theme:changed", () => { for (const element of mounted.keys()) { mounted.get(element).drawn = false; draw(element); } });
  document.addEventListener("htmx:load", (event) => mount(event.detail.elt));
  document.addEventListener("htmx:beforeCleanupElement", (event) => unmount(event.detail.elt));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => mount(document));
  else mount(document);

  window.fundopsCharts = { mount, unmount, append, patch, reload, figure, utc };
})();
