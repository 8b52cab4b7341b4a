//! The operations on the common objects: one table.

use super::operation::{Field, Operation, Shape, Verb};

const fn text(name: &'static str) -> Field {
    Field::of(name, Shape::Text)
}

const fn whole(name: &'static str) -> Field {
    Field::of(name, Shape::Whole)
}

const fn flag(name: &'static str) -> Field {
    Field::of(name, Shape::Flag)
}

const fn list(name: &'static str) -> Field {
    Field::of(name, Shape::List)
}

const fn map(name: &'static str) -> Field {
    Field::of(name, Shape::Map)
}

const fn time(name: &'static str) -> Field {
    Field::of(name, Shape::Time)
}

/// What every list takes.
macro_rules! listing {
    ($($field:expr),* $(,)?) => {
        &[$($field,)* whole("limit"), text("starting_after"), text("ending_before"), list("expand")]
    };
}

/// What everything that is written takes.
macro_rules! writing {
    ($($field:expr),* $(,)?) => {
        &[$($field,)* map("metadata"), list("expand")]
    };
}

const EXPAND: &[Field] = &[list("expand")];

macro_rules! table {
    ($($name:literal $verb:ident $path:literal $does:literal $fields:expr;)+) => {
        &[$(Operation { name: $name, does: $does, verb: Verb::$verb, path: $path, fields: $fields, lists: lists($name) },)+]
    };
}

const fn lists(name: &str) -> bool {
    let bytes = name.as_bytes();
    let length = bytes.len();
    length > 5
        && bytes[length - 5] == b'.'
        && bytes[length - 4] == b'l'
        && bytes[length - 3] == b'i'
        && bytes[length - 2] == b's'
        && bytes[length - 1] == b't'
}

/// Every typed operation.
pub(super) static OPERATIONS: &[Operation] = table! {
    "balance.retrieve" Get "/v1/balance" "Shows the account's balance." EXPAND;

    "customers.create" Post "/v1/customers" "Makes a customer."
        writing![text("email"), text("name"), text("phone"), text("description"), text("payment_method"), map("address"), map("invoice_settings")];
    "customers.retrieve" Get "/v1/customers/{id}" "Shows a customer." EXPAND;
    "customers.update" Post "/v1/customers/{id}" "Changes a customer."
        writing![text("email"), text("name"), text("phone"), text("description"), map("address"), map("invoice_settings")];
    "customers.delete" Delete "/v1/customers/{id}" "Deletes a customer, and ends their subscriptions." &[];
    "customers.list" Get "/v1/customers" "Lists customers, the newest first." listing![text("email"), time("created")];

    "payment_intents.create" Post "/v1/payment_intents" "Begins a payment."
        writing![whole("amount").required(), text("currency").required(), text("customer"), text("payment_method"), list("payment_method_types"), map("automatic_payment_methods"), flag("confirm"), flag("off_session"), text("capture_method"), text("description"), text("receipt_email"), text("return_url"), text("setup_future_usage"), text("statement_descriptor"), whole("application_fee_amount"), text("on_behalf_of"), map("transfer_data")];
    "payment_intents.retrieve" Get "/v1/payment_intents/{id}" "Shows a payment." EXPAND;
    "payment_intents.update" Post "/v1/payment_intents/{id}" "Changes a payment that is not confirmed."
        writing![whole("amount"), text("currency"), text("customer"), text("payment_method"), text("description"), text("receipt_email")];
    "payment_intents.confirm" Post "/v1/payment_intents/{id}/confirm" "Confirms a payment."
        &[text("payment_method"), text("return_url"), flag("off_session"), text("receipt_email"), list("expand")];
    "payment_intents.capture" Post "/v1/payment_intents/{id}/capture" "Captures what a payment has authorized."
        writing![whole("amount_to_capture"), whole("application_fee_amount"), text("statement_descriptor"), flag("final_capture")];
    "payment_intents.cancel" Post "/v1/payment_intents/{id}/cancel" "Cancels a payment that is not done."
        &[text("cancellation_reason"), list("expand")];
    "payment_intents.list" Get "/v1/payment_intents" "Lists payments, the newest first." listing![text("customer"), time("created")];

    "refunds.create" Post "/v1/refunds" "Gives a payment back, whole or in part."
        writing![text("payment_intent"), text("charge"), whole("amount"), text("reason"), flag("refund_application_fee"), flag("reverse_transfer")];
    "refunds.retrieve" Get "/v1/refunds/{id}" "Shows a refund." EXPAND;
    "refunds.update" Post "/v1/refunds/{id}" "Changes the metadata of a refund." writing![];
    "refunds.cancel" Post "/v1/refunds/{id}/cancel" "Cancels a refund that needs an action." EXPAND;
    "refunds.list" Get "/v1/refunds" "Lists refunds, the newest first." listing![text("payment_intent"), text("charge"), time("created")];

    "charges.retrieve" Get "/v1/charges/{id}" "Shows a charge." EXPAND;
    "charges.list" Get "/v1/charges" "Lists charges, the newest first." listing![text("customer"), text("payment_intent"), time("created")];

    "invoices.create" Post "/v1/invoices" "Makes a draft of an invoice."
        writing![text("customer"), text("subscription"), flag("auto_advance"), text("collection_method"), whole("days_until_due"), text("description"), time("due_date"), text("currency")];
    "invoices.retrieve" Get "/v1/invoices/{id}" "Shows an invoice." EXPAND;
    "invoices.update" Post "/v1/invoices/{id}" "Changes an invoice."
        writing![flag("auto_advance"), text("collection_method"), whole("days_until_due"), text("description"), time("due_date")];
    "invoices.delete" Delete "/v1/invoices/{id}" "Deletes the draft of an invoice." &[];
    "invoices.finalize" Post "/v1/invoices/{id}/finalize" "Makes a draft an invoice." &[flag("auto_advance"), list("expand")];
    "invoices.pay" Post "/v1/invoices/{id}/pay" "Collects an invoice now."
        &[text("payment_method"), text("source"), flag("off_session"), flag("paid_out_of_band"), list("expand")];
    "invoices.send" Post "/v1/invoices/{id}/send" "Sends an invoice to the customer." EXPAND;
    "invoices.void" Post "/v1/invoices/{id}/void" "Declares an invoice void." EXPAND;
    "invoices.list" Get "/v1/invoices" "Lists invoices, the newest first." listing![text("customer"), text("subscription"), text("status"), text("collection_method"), time("created")];

    "subscriptions.create" Post "/v1/subscriptions" "Begins a subscription."
        writing![text("customer").required(), list("items"), text("default_payment_method"), text("payment_behavior"), text("collection_method"), whole("days_until_due"), time("trial_end"), whole("trial_period_days"), time("cancel_at"), flag("cancel_at_period_end"), text("proration_behavior"), text("description"), text("currency")];
    "subscriptions.retrieve" Get "/v1/subscriptions/{id}" "Shows a subscription." EXPAND;
    "subscriptions.update" Post "/v1/subscriptions/{id}" "Changes a subscription."
        writing![list("items"), text("default_payment_method"), text("payment_behavior"), text("collection_method"), whole("days_until_due"), time("trial_end"), time("cancel_at"), flag("cancel_at_period_end"), text("proration_behavior"), text("description")];
    "subscriptions.cancel" Delete "/v1/subscriptions/{id}" "Ends a subscription now." &[flag("invoice_now"), flag("prorate"), list("expand")];
    "subscriptions.list" Get "/v1/subscriptions" "Lists subscriptions, the newest first." listing![text("customer"), text("price"), text("status"), time("created")];

    "products.create" Post "/v1/products" "Makes a product."
        writing![text("name").required(), text("id"), flag("active"), text("description"), map("default_price_data"), list("images"), text("tax_code"), text("unit_label"), text("url")];
    "products.retrieve" Get "/v1/products/{id}" "Shows a product." EXPAND;
    "products.update" Post "/v1/products/{id}" "Changes a product."
        writing![text("name"), flag("active"), text("description"), text("default_price"), list("images"), text("tax_code"), text("unit_label"), text("url")];
    "products.delete" Delete "/v1/products/{id}" "Deletes a product that has no prices." &[];
    "products.list" Get "/v1/products" "Lists products, the newest first." listing![flag("active"), list("ids"), time("created")];

    "prices.create" Post "/v1/prices" "Makes a price."
        writing![text("currency").required(), text("product"), map("product_data"), whole("unit_amount"), text("unit_amount_decimal"), map("recurring"), text("nickname"), text("lookup_key"), flag("transfer_lookup_key"), text("tax_behavior"), text("billing_scheme"), list("tiers"), text("tiers_mode"), flag("active")];
    "prices.retrieve" Get "/v1/prices/{id}" "Shows a price." EXPAND;
    "prices.update" Post "/v1/prices/{id}" "Changes a price; its amount stays."
        writing![flag("active"), text("nickname"), text("lookup_key"), flag("transfer_lookup_key"), text("tax_behavior")];
    "prices.list" Get "/v1/prices" "Lists prices, the newest first." listing![flag("active"), text("currency"), text("product"), text("type"), list("lookup_keys"), time("created")];

    "checkout_sessions.create" Post "/v1/checkout/sessions" "Makes a page on which a customer pays."
        writing![text("mode"), list("line_items"), text("success_url"), text("cancel_url"), text("return_url"), text("ui_mode"), text("customer"), text("customer_email"), text("client_reference_id"), map("payment_intent_data"), map("subscription_data"), list("discounts"), flag("allow_promotion_codes"), time("expires_at")];
    "checkout_sessions.retrieve" Get "/v1/checkout/sessions/{id}" "Shows a checkout." EXPAND;
    "checkout_sessions.expire" Post "/v1/checkout/sessions/{id}/expire" "Ends a checkout that is open." EXPAND;
    "checkout_sessions.list" Get "/v1/checkout/sessions" "Lists checkouts, the newest first." listing![text("customer"), text("payment_intent"), text("subscription"), text("status"), time("created")];
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use jsonschema::validator_for;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        for operation in OPERATIONS {
            let name = operation.name;
            let action = name.split_once('.').unwrap().1;
            assert!(operation.path.starts_with("/v1/") && operation.does.ends_with('.'), "{name}");
            assert_eq!(operation.lists, action == "list", "{name}");
            assert_eq!(operation.verb == Verb::Get, matches!(action, "retrieve" | "list"), "{name}");
            assert_eq!(
                operation.has_id(),
                !matches!(name, "balance.retrieve") && !matches!(action, "create" | "list"),
                "{name}"
            );
            let fields: BTreeSet<_> = operation.fields.iter().map(|field| field.name).collect();
            assert_eq!(fields.len(), operation.fields.len(), "{name}");
            validator_for(&operation.input_schema()).unwrap();
        }
    }

    #[test]
    fn schemas_ask_for_what_the_api_needs() {
        let of = |name: &str| {
            let operation = OPERATIONS.iter().find(|operation| operation.name == name).unwrap();
            validator_for(&operation.input_schema()).unwrap()
        };
        let create = of("payment_intents.create");
        assert!(create.is_valid(&json!({"params": {"amount": 5, "currency": "eur", "of_another_version": [1]}})));
        assert!(!create.is_valid(&json!({"params": {"amount": "5", "currency": "eur"}})));
        assert!(!create.is_valid(&json!({"params": {"amount": 5}})));
        assert!(!create.is_valid(&json!({})));
        let capture = of("payment_intents.capture");
        assert!(capture.is_valid(&json!({"id": "pi_1", "idempotency_key": "k", "account": "acct_1"})));
        for bad in [
            json!({}),
            json!({"id": "../x"}),
            json!({"id": "pi_1", "account": "x"}),
            json!({"id": "pi_1", "max_pages": 2}),
        ] {
            assert!(!capture.is_valid(&bad), "{bad}");
        }
        assert!(of("charges.list").is_valid(&json!({"max_pages": 3, "params": {"created": {"gte": 1}}})));
        assert!(!of("charges.list").is_valid(&json!({"idempotency_key": "k"})));
    }
}
