{# A custom schema stands for itself: dbt's own macro would put the target's schema in front of it. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
