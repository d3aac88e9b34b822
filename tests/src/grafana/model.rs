//! A dashboard in a few words, and as Grafana's JSON.
//!
//! In: panels with their expressions. Out: JSON; panels are laid out from left to right.

use serde_json::{Value, json};

/// Version of Grafana's dashboards that these are written in.
const SCHEMA: u32 = 39;
/// Columns.
const WIDTH: u32 = 24;

/// What is drawn, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines over time.
    Lines,
    /// Stacked areas over time.
    Areas,
    /// Stacked areas over time, each as its part of the whole.
    Shares,
    /// One number for each series.
    Number,
    /// Buckets over time.
    HeatMap,
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// In PromQL.
    pub expr: String,
    /// What its series are called.
    pub legend: &'static str,
}

/// A panel.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What one should know.
    pub about: &'static str,
    /// What is drawn.
    pub kind: Kind,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Columns and rows.
    pub size: (u32, u32),
    /// Of what.
    pub targets: Vec<Target>,
}

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its name in addresses and of its file.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Whether it is about one service, which one can choose.
    pub of_service: bool,
    /// Its panels.
    pub panels: Vec<Panel>,
}

/// A panel of usual size.
#[must_use]
pub fn panel(title: &'static str, kind: Kind, unit: &'static str, targets: Vec<Target>) -> Panel {
    Panel { title, about: "", kind, unit, size: (12, 8), targets }
}

/// An expression with the name of its series.
#[must_use]
pub fn of(legend: &'static str, expr: impl Into<String>) -> Target {
    Target { expr: expr.into(), legend }
}

impl Panel {
    /// With something to know.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Of another size.
    #[must_use]
    pub fn sized(self, width: u32, height: u32) -> Self {
        Self { size: (width, height), ..self }
    }

    fn json(&self, id: usize, (x, y): (u32, u32)) -> Value {
        let targets = self.targets.iter().zip('A'..).map(|(target, name)| {
            json!({
                "datasource": source(),
                "editorMode": "code",
                "expr": target.expr,
                "format": if self.kind == Kind::HeatMap { "heatmap" } else { "time_series" },
                "legendFormat": target.legend,
                "range": true,
                "refId": name.to_string(),
            })
        });
        let mut panel = json!({
            "id": id,
            "type": match self.kind {
                Kind::Lines | Kind::Areas | Kind::Shares => "timeseries",
                Kind::Number => "stat",
                Kind::HeatMap => "heatmap",
            },
            "title": self.title,
            "datasource": source(),
            "gridPos": { "x": x, "y": y, "w": self.size.0, "h": self.size.1 },
            "fieldConfig": { "defaults": { "unit": self.unit, "custom": self.custom() }, "overrides": [] },
            "options": self.options(),
            "targets": targets.collect::<Vec<_>>(),
        });
        if !self.about.is_empty() {
            panel["description"] = self.about.into();
        }
        panel
    }

    fn custom(&self) -> Value {
        let stacked = |mode: &str| {
            json!({ "drawStyle": "line", "lineWidth": 1, "fillOpacity": 60, "showPoints": "never",
                "stacking": { "group": "A", "mode": mode } })
        };
        match self.kind {
            Kind::Lines => json!({ "drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "showPoints": "never" }),
            Kind::Areas => stacked("normal"),
            Kind::Shares => stacked("percent"),
            Kind::Number | Kind::HeatMap => json!({}),
        }
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Number => json!({
                "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
                "percentChangeColorMode": "standard", "showPercentChange": false, "wideLayout": true,
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            }),
            Kind::HeatMap => json!({
                "calculate": false,
                "cellGap": 0,
                "color": { "mode": "scheme", "scheme": "Turbo", "scale": "exponential", "exponent": 0.3, "steps": 64,
                    "fill": "dark-blue", "reverse": false },
                "exemplars": { "color": "rgba(255,0,255,0.7)" },
                "filterValues": { "le": 1e-9 },
                "legend": { "show": true },
                "rowsFrame": { "layout": "auto" },
                "showValue": "never",
                "tooltip": { "mode": "single", "showColorScale": false, "yHistogram": true },
                "yAxis": { "axisPlacement": "left", "reverse": false, "unit": self.unit },
            }),
            _ => json!({
                "legend": { "calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
        }
    }
}

impl Board {
    /// As Grafana reads it.
    #[must_use]
    pub fn json(&self) -> String {
        let (mut x, mut y, mut height) = (0, 0, 0);
        let mut panels = Vec::new();
        for (at, panel) in self.panels.iter().enumerate() {
            if x + panel.size.0 > WIDTH {
                (x, y, height) = (0, y + height, 0);
            }
            panels.push(panel.json(at + 1, (x, y)));
            x += panel.size.0;
            height = height.max(panel.size.1);
        }
        let board = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["acgs-perf", "cdd01ef066bc6cf2"],
            "schemaVersion": SCHEMA,
            "editable": true,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "links": [{
                "asDropdown": true, "icon": "external link", "includeVars": true, "keepTime": true, "tags": ["acgs-perf"],
                "targetBlank": false, "title": "acgs-perf", "tooltip": "", "type": "dashboards", "url": "",
            }],
            "templating": { "list": self.variables() },
            "panels": panels,
        });
        // Pretty JSON of a value that has just been made can always be written.
        serde_json::to_string_pretty(&board).unwrap_or_default() + "\n"
    }

    fn variables(&self) -> Vec<Value> {
        let query = |name: &str, label: &str, of: &str, many: bool| {
            let mut variable = json!({
                "type": "query", "name": name, "label": label, "datasource": source(),
                "query": { "query": of, "refId": "A" }, "refresh": 2, "sort": 1, "includeAll": many, "multi": many,
            });
            if many {
                variable["allValue"] = ".*".into();
                variable["current"] = json!({ "text": ["All"], "value": ["$__all"] });
            }
            variable
        };
        let mut list = vec![
            json!({ "type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus" }),
            query("instance", "Host", "label_values(acgs_perf_build_info, instance)", true),
        ];
        if self.of_service {
            let of = "label_values(acgs_perf_requests_total{instance=~\"$instance\"}, service)";
            list.push(query("service", "Service", of, false));
        }
        list
    }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}
