//! Charges as Stripe's API writes them, version 2025-09-30.

use chrono::Utc;
use serde_json::{Map, Value, json};

use super::payer::{CARDS, Card, Payer, hash, letters};
use crate::dice::{Dice, Purpose};

/// What time charges are made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The present.
    Now,
    /// A time for each order number of the metadata, so that a charge has the same time whenever it
    /// is made. Both in seconds.
    Steps {
        /// The time of number 0, since 1970 UTC.
        start: i64,
        /// From one number to the next.
        step: i64,
    },
}

/// Makes charges.
#[derive(Debug, Clone, Copy)]
pub struct Charges {
    seed: u64,
    clock: Clock,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The charge was paid.
    Paid(Value),
    /// The charge was declined: the failed charge, and the error that tells of it.
    Declined(Value, Value),
    /// The request was wrong: the error.
    Wrong(Value),
}

impl Charges {
    /// Charges of a seed.
    pub fn new(seed: u64, clock: Clock) -> Self {
        Self { seed, clock }
    }

    /// What `POST /v1/charges` with this form and idempotency key leads to.
    pub fn answer(&self, form: &[(String, String)], idempotency_key: &str) -> Outcome {
        let get = |name: &str| {
            let found = form.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| &value[..])
        };
        let Some(amount) = get("amount") else {
            return Outcome::Wrong(missing("amount"));
        };
        let Ok(amount @ 1..=99_999_999) = amount.parse::<u64>() else {
            return Outcome::Wrong(invalid("amount", &format!("Invalid integer: {amount}")));
        };
        let currency = match get("currency").map(str::to_lowercase) {
            None => return Outcome::Wrong(missing("currency")),
            Some(currency) if is_currency(&currency) => currency,
            Some(other) => {
                return Outcome::Wrong(invalid("currency", &format!("Invalid currency: {other}")));
            }
        };
        let Some(card) = CARDS.iter().find(|card| Some(card.token) == get("source")) else {
            let token = get("source").unwrap_or_default();
            return Outcome::Wrong(invalid("source", &format!("No such token: '{token}'")));
        };
        let metadata: Map<String, Value> = form
            .iter()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
                Some((name.to_owned(), Value::from(value.as_str())))
            })
            .collect();
        let order = get("metadata[order]").and_then(|order| order.parse().ok());
        let customer = get("metadata[customer]").unwrap_or(idempotency_key);
        let charge = Charge {
            dice: Dice::new(self.seed, hash(idempotency_key), Purpose::Identity),
            amount,
            currency: &currency,
            card,
            payer: Payer::new(self.seed, customer, card.token),
            created: self.clock.at(order.unwrap_or_default()),
            description: get("description"),
            metadata,
        };
        let charge = charge.json();
        match card.declined {
            None => Outcome::Paid(charge),
            Some((code, message)) => {
                let error = json!({ "error": {
                    "charge": charge["id"],
                    "code": "card_declined",
                    "decline_code": code,
                    "doc_url": "https://stripe.com/docs/error-codes/card-declined",
                    "message": message,
                    "type": "card_error",
                }});
                Outcome::Declined(charge, error)
            }
        }
    }
}

impl Clock {
    fn at(self, order: i64) -> i64 {
        match self {
            Self::Now => Utc::now().timestamp(),
            Self::Steps { start, step } => start.saturating_add(step.saturating_mul(order)),
        }
    }
}

fn is_currency(name: &str) -> bool {
    name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn missing(parameter: &str) -> Value {
    invalid(parameter, &format!("Missing required param: {parameter}."))
}

/// The error for a parameter.
pub(super) fn invalid(parameter: &str, message: &str) -> Value {
    json!({ "error": { "message": message, "param": parameter, "type": "invalid_request_error" } })
}

/// Fields of a charge that belong to parts of Stripe which test charges do not touch.
const ALWAYS_NULL: [&str; 18] = [
    "application",
    "application_fee",
    "application_fee_amount",
    "customer",
    "destination",
    "dispute",
    "failure_balance_transaction",
    "invoice",
    "on_behalf_of",
    "order",
    "payment_intent",
    "receipt_email",
    "receipt_number",
    "review",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
];

struct Charge<'a> {
    dice: Dice,
    amount: u64,
    currency: &'a str,
    card: &'a Card,
    payer: Payer,
    created: i64,
    description: Option<&'a str>,
    metadata: Map<String, Value>,
}

impl Charge<'_> {
    fn json(mut self) -> Value {
        let id = format!("ch_3{}", letters(&mut self.dice, 23));
        let transaction = format!("txn_3{}", letters(&mut self.dice, 23));
        let risk = if self.card.declined.is_some() {
            60 + self.dice.below(40)
        } else {
            self.dice.below(85).min(self.dice.below(85))
        };
        let paid = self.card.declined.is_none();
        let mut charge = json!({
            "id": id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": if paid { self.amount } else { 0 },
            "amount_refunded": 0,
            "balance_transaction": paid.then_some(transaction),
            "billing_details": self.billing_details(),
            "calculated_statement_descriptor": "FACTMILL TEST",
            "captured": paid,
            "created": self.created,
            "currency": self.currency,
            "description": self.description,
            "disputed": false,
            "failure_code": (!paid).then_some("card_declined"),
            "failure_message": self.card.declined.map(|(_, message)| message),
            "fraud_details": {},
            "livemode": false,
            "metadata": self.metadata.clone(),
            "outcome": self.outcome(risk),
            "paid": paid,
            "payment_method": self.payer.card_id,
            "payment_method_details": self.payment_method_details(),
            "radar_options": {},
            "receipt_url": paid.then(|| format!("https://pay.stripe.com/receipts/payment/{id}")),
            "refunded": false,
            "source": self.source(),
            "status": if paid { "succeeded" } else { "failed" },
        });
        for name in ALWAYS_NULL {
            charge[name] = Value::Null;
        }
        charge
    }

    fn billing_details(&self) -> Value {
        let (city, country, postal_code, line1) = &self.payer.place;
        json!({
            "address": {
                "city": city, "country": country, "line1": line1, "line2": null,
                "postal_code": postal_code, "state": null,
            },
            "email": self.payer.email,
            "name": self.payer.name,
            "phone": null,
            "tax_id": null,
        })
    }

    fn outcome(&self, risk: u32) -> Value {
        let (network_status, reason, seller_message, kind) = match self.card.declined {
            None => (
                "approved_by_network",
                None,
                "Payment complete.",
                "authorized",
            ),
            Some(("fraudulent", _)) => (
                "not_sent_to_network",
                Some("highest_risk_level"),
                "Stripe blocked this payment as too risky.",
                "blocked",
            ),
            Some((code, _)) => (
                "declined_by_network",
                Some(code),
                "The bank did not return any further details with this decline.",
                "issuer_declined",
            ),
        };
        let risk_level = match (kind, risk) {
            ("blocked", _) => "highest",
            (_, 65..) => "elevated",
            _ => "normal",
        };
        json!({
            "advice_code": null,
            "network_advice_code": null,
            "network_decline_code": null,
            "network_status": network_status,
            "reason": reason,
            "risk_level": risk_level,
            "risk_score": risk,
            "seller_message": seller_message,
            "type": kind,
        })
    }

    fn payment_method_details(&self) -> Value {
        let (month, year) = self.payer.expires;
        json!({
            "card": {
                "amount_authorized": self.amount,
                "authorization_code": null,
                "brand": self.card.network,
                "checks": {
                    "address_line1_check": "pass", "address_postal_code_check": "pass",
                    "cvc_check": null,
                },
                "country": self.card.country,
                "exp_month": month,
                "exp_year": year,
                "extended_authorization": { "status": "disabled" },
                "fingerprint": self.payer.fingerprint,
                "funding": self.card.funding,
                "incremental_authorization": { "status": "unavailable" },
                "installments": null,
                "last4": self.card.last4,
                "mandate": null,
                "multicapture": { "status": "unavailable" },
                "network": self.card.network,
                "network_token": { "used": false },
                "network_transaction_id": null,
                "overcapture": { "maximum_amount_capturable": self.amount, "status": "unavailable" },
                "regulated_status": "unregulated",
                "three_d_secure": null,
                "wallet": null,
            },
            "type": "card",
        })
    }

    fn source(&self) -> Value {
        let (month, year) = self.payer.expires;
        let (city, country, postal_code, line1) = &self.payer.place;
        json!({
            "id": self.payer.card_id,
            "object": "card",
            "address_city": city,
            "address_country": country,
            "address_line1": line1,
            "address_line1_check": "pass",
            "address_line2": null,
            "address_state": null,
            "address_zip": postal_code,
            "address_zip_check": "pass",
            "brand": self.card.brand,
            "country": self.card.country,
            "customer": null,
            "cvc_check": null,
            "dynamic_last4": null,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": self.payer.fingerprint,
            "funding": self.card.funding,
            "last4": self.card.last4,
            "metadata": {},
            "name": self.payer.name,
            "tokenization_method": null,
            "wallet": null,
        })
    }
}
