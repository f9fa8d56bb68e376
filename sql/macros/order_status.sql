{# Processing, Shipped, Delivered, Cancelled in one casing and spelling; others as they are, capitalised. #}
{% macro order_status(status) -%}
    case lower(trim({{ status }})) when 'canceled' then 'Cancelled' else initcap(trim({{ status }})) end
{%- endmacro %}
