{# At most 100 rows while the variable is_dev_run is true, else nothing: a stream has no last row. #}
{% macro limit_in_development() -%}
    {%- if var('is_dev_run', false) %}limit 100{% endif -%}
{%- endmacro %}
