//! Kinds from types: what is wrong is told whole and in place, and an operation's function is given only what is sound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use orchestrator_core::connector::typed::{Operation, TypedKind, TypedKindError};
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, Connector, ConnectorKind, ConnectorRegistry, HealthCheck, Idempotency,
    PlanError, SecretSlots, Sent,
};
use orchestrator_core::types::{FieldError, TraceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Settings of a shop.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Its name.
    #[schemars(length(min = 3))]
    shop: String,
    #[serde(default)]
    most: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    /// What is ordered.
    items: Vec<Item>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    gift: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Item {
    sku: String,
    count: u32,
}

#[derive(Serialize, JsonSchema)]
struct Receipt {
    total: u32,
    by: String,
}

struct Shop {
    name: String,
    most: u32,
}

impl Shop {
    fn open(settings: Settings, _: SecretSlots) -> Result<Self, Vec<FieldError>> {
        if settings.shop == "closed" {
            return Err(vec![FieldError::new("/shop", "it is closed")]);
        }
        Ok(Self { name: settings.shop, most: settings.most.unwrap_or(10) })
    }

    fn check(&self, order: &Order) -> Vec<FieldError> {
        let many = order.items.iter().enumerate().filter(|(_, item)| item.count > self.most);
        let mut problems: Vec<_> =
            many.map(|(index, _)| FieldError::new(format!("/items/{index}/count"), "too many")).collect();
        if order.note.as_deref() == Some("") || order.items.iter().any(|item| item.sku.is_empty()) {
            problems.push(FieldError::new("/note", "an empty note says nothing"));
        }
        problems
    }

    async fn order(self: Arc<Self>, context: CallContext, order: Order) -> Result<Receipt, CallError> {
        tokio::task::yield_now().await;
        Ok(Receipt {
            total: order.items.iter().map(|item| item.count).sum(),
            by: format!("{} for {}", self.name, context.subject),
        })
    }

    async fn refuse(self: Arc<Self>, _: CallContext, _: Order) -> Result<Receipt, CallError> {
        Err(CallError::new(CallErrorKind::Rejected, Sent::Maybe, "no"))
    }

    async fn open_now(self: Arc<Self>, _: CallContext) -> Result<(), CallError> {
        Ok(())
    }
}

fn kind() -> TypedKind<Settings, Shop> {
    TypedKind::builder("shop", "Orders things.", Shop::open)
        .slot("key")
        .operation(
            Operation::new("order", "Orders.", Shop::order)
                .check(Shop::check)
                .idempotent_if(|_, order| order.gift != Some(true)),
        )
        .operation(Operation::new("refuse", "Refuses.", Shop::refuse).idempotency(Idempotency::ByKey).shows(&["key"]))
        .health(Shop::open_now)
        .build()
        .unwrap()
}

fn shop(settings: &Value) -> Arc<dyn Connector> {
    kind().build(settings, SecretSlots::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn refused_at(outcome: Result<impl Sized, PlanError>) -> Vec<String> {
    match outcome {
        Err(PlanError::InvalidInput(problems)) => problems.into_iter().map(|problem| problem.pointer).collect(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was planned"),
    }
}

fn context() -> CallContext {
    CallContext::new("shop-dev".parse().unwrap(), "shop".parse().unwrap(), "exe_1", TraceId::new())
}

#[tokio::test]
async fn a_sound_input_reaches_the_function_and_its_output_is_written() {
    let shop = shop(&json!({"shop": "corner"}));
    let order = json!({"items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 3}]});
    assert!(shop.plan("order", &order).unwrap().idempotent);
    let gift = json!({"items": [], "gift": true});
    assert!(!shop.plan("order", &gift).unwrap().idempotent);
    assert!(shop.plan("refuse", &order).unwrap().idempotent);
    let output = shop.call(&context(), "order", &order).await.unwrap();
    assert_eq!(output, json!({"total": 5, "by": "corner for exe_1"}));
    assert_eq!(shop.call(&context(), "refuse", &order).await.unwrap_err().sent, Sent::Maybe);
    assert_eq!(shop.health(&context()).await.unwrap(), HealthCheck::Passed);
    assert_eq!((shop.shown_slots("refuse"), shop.shown_slots("order")), (&["key"][..], &[][..]));
}

#[test]
fn all_that_is_wrong_is_told_at_once_by_schema_and_check() {
    let shop = shop(&json!({"shop": "corner", "most": 4}));
    let order = json!({"items": [{"sku": "a", "count": 9}, {"sku": "b", "count": 1}], "note": "", "gift": "yes", "colour": "red"});
    let mut at = refused_at(shop.plan("order", &order));
    at.sort_unstable();
    assert_eq!(at, ["/colour", "/gift", "/items/0/count", "/note"]);
    // Where the rest cannot be read without it, the schema's problems stand alone.
    assert_eq!(
        refused_at(shop.plan("order", &json!({"items": [{"sku": 1, "count": 9}], "note": ""}))),
        ["/items/0/sku"]
    );
    assert_eq!(refused_at(shop.plan("order", &json!({}))), ["/items"]);
    assert_eq!(refused_at(shop.plan("order", &json!([]))), [""]);
    // JSON Schema takes it for an integer, and the type does not.
    assert_eq!(refused_at(shop.plan("order", &json!({"items": [{"sku": "a", "count": 1.0}]}))), ["/items/0/count"]);
    assert_eq!(shop.plan("send", &json!({})), Err(PlanError::OperationNotFound));
}

#[tokio::test]
async fn what_is_not_sound_does_not_reach_the_function() {
    let shop = shop(&json!({"shop": "corner"}));
    for (operation, input) in [("order", json!({"items": 1})), ("send", json!({"items": []}))] {
        let failed = shop.call(&context(), operation, &input).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::No));
    }
}

#[test]
fn settings_are_told_whole_as_well() {
    let problems = |settings: Value| -> Vec<String> {
        let built = kind().build(&settings, SecretSlots::default()).map(drop);
        built.unwrap_err().into_iter().map(|problem| problem.pointer).collect()
    };
    assert_eq!(problems(json!({"shop": "closed", "most": "x"})), ["/most", "/shop"]);
    assert_eq!(problems(json!({"shop": 1, "colour": 2})), ["/shop", "/colour"]);
}

#[test]
fn a_kind_describes_what_its_types_say() {
    let mut registry = ConnectorRegistry::default();
    registry.register(Arc::new(kind())).unwrap();
    let view = serde_json::to_value(&registry.views()[0]).unwrap();
    assert_eq!((&view["kind"], &view["secret_slots"]), (&json!("shop"), &json!(["key"])));
    assert_eq!(view["settings_schema"]["properties"]["shop"]["description"], "Its name.");
    let operations = view["operations"].as_array().unwrap();
    assert_eq!((&operations[0]["name"], &operations[0]["idempotency"]), (&json!("order"), &json!("depends")));
    assert_eq!(operations[1]["idempotency"], "by_key");
    assert_eq!(operations[0]["input_schema"]["properties"]["items"]["description"], "What is ordered.");
    assert_eq!(operations[0]["output_schema"]["required"], json!(["total", "by"]));
}

#[test]
fn a_kind_that_cannot_be_is_refused_when_it_is_put_together() {
    let built = |name: &str, slots: &[&str], operations: &[&str]| -> Result<(), TypedKindError> {
        let mut builder = TypedKind::builder(name, "Orders things.", Shop::open);
        for slot in slots {
            builder = builder.slot(*slot);
        }
        for operation in operations {
            builder = builder.operation(Operation::new(*operation, "Orders.", Shop::order));
        }
        builder.build().map(drop)
    };
    assert!(built("shop", &["a", "b"], &["x", "y"]).is_ok());
    assert!(built("a shop", &[], &["x"]).is_err());
    assert!(built("shop", &["no slot"], &["x"]).is_err());
    assert!(built("shop", &["a", "a"], &["x"]).is_err());
    assert!(built("shop", &[], &["x", "x"]).unwrap_err().to_string().contains("`x`"));
}
